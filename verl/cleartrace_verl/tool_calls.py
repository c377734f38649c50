"""Run a tool call through veRL's tool objects, to get a structured result."""

from __future__ import annotations

import json
from typing import Any

from verl.tools.function_tool import FunctionTool, normalize_function_tool_return

from cleartrace.tools.code_interpreter import format_error
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace_verl.formats import WrittenCall
from cleartrace_verl.tool_parsers import arguments_json

UNREADABLE = "The tool call could not be read: {reason}."


def source_of(call: WrittenCall) -> str:
    """The program of a code call, or its arguments or text: what two attempts are compared by."""
    if call.error is not None:
        return call.text
    code = (call.arguments or {}).get("code")
    return code if isinstance(code, str) else arguments_json(call)


def _read_by_type(value: Any, kind: str | list[str]) -> Any:
    """A value from a format without types: text that is JSON of the type the schema asks for is that value."""
    if kind == "string" or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _arguments(tool: FunctionTool, call: WrittenCall) -> dict[str, Any] | ToolResult:
    arguments = dict(call.arguments or {})
    schema = tool.tool_schema.function.parameters
    if missing := sorted(set(schema.required) - set(arguments)):
        return format_error(f"The call of {call.name} lacks {', '.join(missing)}.")
    if unknown := sorted(set(arguments) - set(schema.properties)):
        return format_error(f"{call.name} takes no argument named {', '.join(unknown)}.")
    for name, value in arguments.items():
        kind = schema.properties[name].type
        if kind == "string" and not isinstance(value, str):
            return format_error(f"Argument {name} of {call.name} must be a string, not {type(value).__name__}.")
        if call.untyped:
            arguments[name] = _read_by_type(value, kind)
        if isinstance(value, str) and not _is_unicode(value):
            return format_error(f"Argument {name} of {call.name} holds a character that is not Unicode text.")
    return arguments


def _is_unicode(text: str) -> bool:
    """False for a lone surrogate, which no tool can be sent and which would look like the tool's failure."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def execute_call(tools: dict[str, Any], call: WrittenCall) -> ToolResult:
    """Execute `call`.

    A tool that returns `{"result": ToolResult}` as its third value speaks for itself; the text of any other tool
    is a success. An exception inside a tool is the tool's fault: nothing may be learned from it. A call that cannot
    be read is a format error that says why, and so is one with wrong arguments (D9).
    """
    if call.error is not None:
        return format_error(UNREADABLE.format(reason=call.error))
    tool = tools.get(str(call.name))
    if tool is None:
        return format_error(f"There is no tool named {call.name!r}; available: {', '.join(sorted(tools))}.")
    if not isinstance(tool, FunctionTool):
        raise TypeError(f"saar_agent runs function tools (multi_turn.function_tool_path), not {type(tool).__name__}.")
    arguments = _arguments(tool, call)
    if isinstance(arguments, ToolResult):
        return arguments
    try:
        response, _, details = normalize_function_tool_return(await tool.call(arguments))
    except Exception as error:  # a user's tool may raise anything; the status carries it on
        reason = f"{type(error).__name__}: {error}"
        return ToolResult(ToolStatus.INFRA_ERROR, stderr=reason, error_class="tool_error", reason=reason)
    result = details.get("result")
    return result if isinstance(result, ToolResult) else ToolResult(ToolStatus.OK, stdout=response.text or "")
