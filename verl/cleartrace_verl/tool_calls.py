"""Read the tool calls of a turn, and run one through veRL's tool objects to get a structured result."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser
from verl.tools.function_tool import FunctionTool, normalize_function_tool_return

from cleartrace.purify.boundary import CallMarkers
from cleartrace.tools.code_interpreter import format_error
from cleartrace.tools.result import ToolResult, ToolStatus

UNREADABLE = "The tool call could not be read: expected one JSON object with 'name' and 'arguments'."


@dataclass(frozen=True)
class UnreadableCall:
    """A call the model opened and veRL's parser could make nothing of."""

    text: str


async def read_calls(
    parser: ToolParser, markers: CallMarkers, token_ids: Sequence[int], decode: Callable[[list[int]], str]
) -> tuple[str, tuple[FunctionCall | UnreadableCall, ...]]:
    """(text without calls, calls in the order written) of the call part of a turn.

    veRL's parsers leave out what they cannot read. Reading call by call shows which one that was, so that it gets
    an answer of its own (D9). Where a marker stands inside a call, as in a program that prints one, reading call by
    call finds fewer calls than reading the whole, and the whole is right.
    """
    content, found = await parser.extract_tool_calls(list(token_ids))
    parts = markers.split(token_ids)
    if len(found) >= len(parts):
        return content, tuple(found)
    calls: list[FunctionCall | UnreadableCall] = []
    for part in parts:
        _, read = await parser.extract_tool_calls(list(part))
        calls += read or [UnreadableCall(decode(list(part)))]
    readable = sum(isinstance(call, FunctionCall) for call in calls)
    return content, tuple(calls if readable >= len(found) else found)


def source_of(call: FunctionCall | UnreadableCall) -> str:
    """The program of a code call, or its raw arguments or text: what two attempts are compared by."""
    if isinstance(call, UnreadableCall):
        return call.text
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return call.arguments
    code = arguments.get("code") if isinstance(arguments, dict) else None
    return code if isinstance(code, str) else call.arguments


def _arguments(tool: FunctionTool, call: FunctionCall) -> dict[str, Any] | ToolResult:
    try:
        arguments = json.loads(call.arguments)
    except ValueError as error:
        return format_error(f"The arguments of {call.name} are not JSON: {error}")
    if not isinstance(arguments, dict):
        return format_error(f"The arguments of {call.name} must be a JSON object, not {type(arguments).__name__}.")
    schema = tool.tool_schema.function.parameters
    if missing := sorted(set(schema.required) - set(arguments)):
        return format_error(f"The call of {call.name} lacks {', '.join(missing)}.")
    if unknown := sorted(set(arguments) - set(schema.properties)):
        return format_error(f"{call.name} takes no argument named {', '.join(unknown)}.")
    for name, value in arguments.items():
        if schema.properties[name].type == "string" and not isinstance(value, str):
            return format_error(f"Argument {name} of {call.name} must be a string, not {type(value).__name__}.")
    return arguments


async def execute_call(tools: dict[str, Any], call: FunctionCall | UnreadableCall) -> ToolResult:
    """Execute `call`.

    A tool that returns `{"result": ToolResult}` as its third value speaks for itself; the text of any other tool
    is a success. An exception inside a tool is the tool's fault: nothing may be learned from it.
    """
    if isinstance(call, UnreadableCall):
        return format_error(UNREADABLE)
    tool = tools.get(call.name)
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
