"""The schema, and the mapping of every judge outcome."""

import asyncio
from dataclasses import dataclass

import pytest

from cleartrace.tools import Blame, ToolStatus
from cleartrace.tools.code_interpreter import (
    TOOL_NAME,
    TOOL_SCHEMA,
    CodeInterpreter,
    to_tool_result,
)


@dataclass(frozen=True)
class Run:
    outcome: str
    stdout: str = ""
    stderr: str = ""
    wall_s: float = 0.25
    error_class: str | None = None
    error_message: str | None = None
    error_line: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""


def test_schema_has_one_required_string():
    parameters = TOOL_SCHEMA["function"]["parameters"]
    assert TOOL_SCHEMA["function"]["name"] == TOOL_NAME
    assert parameters["required"] == ["code"] == list(parameters["properties"])
    assert parameters["properties"]["code"]["type"] == "string"


@pytest.mark.parametrize(
    ("outcome", "status", "error_class"),
    [
        ("ok", ToolStatus.OK, None),
        ("runtime_error", ToolStatus.PROGRAM_ERROR, "NonZeroExit"),
        ("compile_error", ToolStatus.PROGRAM_ERROR, "SyntaxError"),
        ("memory_limit", ToolStatus.PROGRAM_ERROR, "MemoryError"),
        ("output_limit", ToolStatus.PROGRAM_ERROR, "OutputLimitExceeded"),
        ("process_limit", ToolStatus.PROGRAM_ERROR, "ProcessLimitExceeded"),
        ("time_limit", ToolStatus.TIMEOUT, "timeout"),
        ("rejected", ToolStatus.INFRA_ERROR, "infra_error"),
        ("infra_error", ToolStatus.INFRA_ERROR, "infra_error"),
        ("something_new", ToolStatus.INFRA_ERROR, "infra_error"),
    ],
)
def test_every_outcome_has_a_status(outcome, status, error_class):
    result = to_tool_result("pass", Run(outcome, exit_code=1))
    assert (result.status, result.error_class, result.cost_s) == (status, error_class, 0.25)


def test_an_exception_keeps_its_place_in_the_models_source():
    run = Run("runtime_error", error_class="NameError", error_message="name 'x' is not defined", error_line=2)
    result = to_tool_result("y = 1\nprint(x)", run)
    assert (result.error_class, result.line, result.source_line) == ("NameError", 2, "print(x)")
    assert to_tool_result("", Run("runtime_error", error_class="E", error_line=9)).source_line == ""


def test_a_signal_is_named():
    result = to_tool_result("", Run("runtime_error", signal=11))
    assert (result.error_class, result.message) == ("Killed", "the program ended with signal 11")


class Absent:
    def __init__(self, error: Exception):
        self.error = error

    async def run(self, code: str, *, echo: bool):
        raise self.error


def test_an_absent_service_is_nobodys_lesson():
    result = asyncio.run(CodeInterpreter(Absent(ConnectionError("refused")), (ConnectionError,)).run("pass"))
    assert (result.status, result.blame) == (ToolStatus.INFRA_ERROR, Blame.SANDBOX)
    assert "refused" in result.message


def test_a_programming_error_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        asyncio.run(CodeInterpreter(Absent(ZeroDivisionError()), (ConnectionError,)).run("pass"))
