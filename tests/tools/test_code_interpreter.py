"""D9: three malformed calls, three messages; and the mapping of every judge outcome."""

import asyncio
import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.tools import Blame, ToolResult, ToolStatus
from cleartrace.tools.code_interpreter import (
    TOOL_NAME,
    TOOL_SCHEMA,
    CodeInterpreter,
    ParsedCall,
    parse_call,
    to_tool_result,
)

MALFORMED = {
    "bad JSON": (TOOL_NAME, '{"code": "print(1)"'),
    "missing code": (TOOL_NAME, '{"cod": "print(1)"}'),
    "non-string code": (TOOL_NAME, '{"code": 1}'),
    "not an object": (TOOL_NAME, '["print(1)"]'),
    "unknown tool": ("python", '{"code": "print(1)"}'),
}


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


@pytest.mark.parametrize("call", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_call_is_the_models_format_error(call):
    result = parse_call(*call)
    assert isinstance(result, ToolResult)
    assert (result.status, result.blame, result.error_class) == (
        ToolStatus.FORMAT_ERROR,
        Blame.MODEL,
        "format_error",
    )
    assert result.message == result.stderr


def test_each_malformed_call_has_its_own_message():
    messages = {result.message for call in MALFORMED.values() if isinstance(result := parse_call(*call), ToolResult)}
    assert len(messages) == len(MALFORMED)


def test_arguments_nested_beyond_the_parser_are_a_format_error():
    result = parse_call(TOOL_NAME, "[" * 100_000)
    assert isinstance(result, ToolResult)
    assert result.status is ToolStatus.FORMAT_ERROR


@given(st.text())
def test_the_code_is_run_as_written(code):
    assert parse_call(TOOL_NAME, json.dumps({"code": code})) == ParsedCall(code)
    assert parse_call(TOOL_NAME, {"code": code}) == ParsedCall(code)


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
