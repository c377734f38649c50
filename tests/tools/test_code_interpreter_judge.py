"""The code interpreter on a real judge."""

import asyncio

import pytest

from cleartrace.tools import Blame, ToolResult, ToolStatus
from cleartrace.tools.code_interpreter import TOOL_SCHEMA, CodeInterpreter
from code_judge.client import AsyncJudgeClient, RunLimits
from code_judge.embedded import EmbeddedJudge


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    with EmbeddedJudge(log_dir=tmp_path_factory.mktemp("judge")) as judge:
        yield judge


def run_all(judge: EmbeddedJudge, *programs: str) -> list[ToolResult]:
    async def work() -> list[ToolResult]:
        async with AsyncJudgeClient(judge.url, token=judge.token) as client:
            interpreter = CodeInterpreter(client)
            return list(await asyncio.gather(*(interpreter.run(code) for code in programs)))

    return asyncio.run(work())


def test_output_and_a_last_expression_are_shown(judge):
    printed, echoed = run_all(judge, "print(6 * 7)", "x = 20\nx + 1")
    assert (printed.status, printed.blame, printed.stdout.strip()) == (ToolStatus.OK, Blame.NOBODY, "42")
    assert echoed.stdout.strip() == "21"
    assert printed.cost_s > 0


def test_failures_of_the_program_are_the_models(judge):
    name, syntax, leave, silent = run_all(
        judge, "x = 1\nprint(y)", "x = 1\nprint(", "import sys\nsys.exit(3)", "import sys\nsys.exit(0)"
    )
    assert (name.status, name.error_class, name.line, name.source_line) == (
        ToolStatus.PROGRAM_ERROR,
        "NameError",
        2,
        "print(y)",
    )
    assert "'y'" in name.message
    assert (syntax.status, syntax.error_class, syntax.line) == (ToolStatus.PROGRAM_ERROR, "SyntaxError", 2)
    assert leave.status is ToolStatus.PROGRAM_ERROR
    assert leave.error_class
    assert silent.ok
    assert all(result.model_failed for result in (name, syntax, leave))


def test_d55_calls_are_stateless_and_the_model_is_told(judge):
    assert "Nothing is kept from one call to the next" in TOOL_SCHEMA["function"]["description"]
    first, second = run_all(judge, "value = 1", "print(value)")
    assert first.ok
    assert second.error_class == "NameError"


def test_a_program_that_uses_up_its_time_is_a_timeout(judge):
    class Hasty(AsyncJudgeClient):
        async def run(self, code, stdin="", **options):
            return await super().run(code, stdin, limits=RunLimits(cpu_s=1.0, wall_s=3.0), **options)

    async def work() -> ToolResult:
        async with Hasty(judge.url, token=judge.token) as client:
            return await CodeInterpreter(client).run("while True: pass")

    result = asyncio.run(work())
    assert (result.status, result.error_class, result.reason) == (ToolStatus.TIMEOUT, "timeout", "worker_timeout")
    assert result.model_failed


def test_a_wrong_token_is_an_infrastructure_error(judge):
    async def work() -> ToolResult:
        async with AsyncJudgeClient(judge.url, token="wrong") as client:
            return await CodeInterpreter(client).run("print(1)")

    result = asyncio.run(work())
    assert (result.status, result.blame, result.model_failed) == (ToolStatus.INFRA_ERROR, Blame.SANDBOX, False)
    assert "401" in result.message or "403" in result.message
