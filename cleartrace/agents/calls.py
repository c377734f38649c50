"""Calls as a model writes them: which are usable, and a form in plain text for models that know no tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cleartrace.llm.json import json_candidates
from cleartrace.llm.protocol import ToolCall, ToolSpec

_BLOCK = re.compile(r"^[ \t]*```[ \t]*(tool|tool_call|json)?[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


def fault_of(call: ToolCall, tools: Mapping[str, ToolSpec]) -> str:
    """Why a call cannot be run, as the model is told; "" for one that can."""
    if not call.name:
        return f"This call could not be read: {call.raw[:500]}"
    if call.name not in tools:
        return f"There is no tool {call.name!r}. The tools are: {', '.join(tools) or 'none at present'}."
    if call.arguments is None:
        return f"The arguments of {call.name} are not a JSON object: {call.raw[:500]}"
    return ""


def tools_as_text(tools: Sequence[ToolSpec]) -> str:
    """What the system prompt says to a model that writes its calls as text."""
    listed = "\n".join(
        json.dumps({"name": tool.name, "description": tool.description, "parameters": tool.parameters})
        for tool in tools
    )
    return (
        "You act by calling tools. To call one, write a fenced block like this, and nothing after the last block:\n\n"
        '```tool\n{"name": "NAME_OF_THE_TOOL", "arguments": {"ARGUMENT": "VALUE"}}\n```\n\n'
        "Several blocks in one reply run in their order. The answers come with the next message. A reply without a "
        "block is a message. These are the tools, each with a JSON schema of its arguments:\n\n" + listed
    )


def calls_in_text(text: str, tools: Mapping[str, ToolSpec], turn: int) -> tuple[ToolCall, ...]:
    """Calls in fenced blocks, in order. A block marked as a call that holds none becomes a call without a name.

    A block marked `json`, or not at all, counts only where it names a tool: a model may also show data. The last block
    may lack its closing fence.

    Args:
        turn: makes the calls' ids unique in a run.
    """
    found: list[ToolCall] = []
    for label, block in _BLOCK.findall(text):
        objects = _call_objects(block)
        if label in ("tool", "tool_call"):
            found += [_call(one, block) for one in objects] or [ToolCall(id="", name="", arguments=None, raw=block)]
        else:
            found += [_call(one, block) for one in objects if one.get("name") in tools]
    return tuple(call.model_copy(update={"id": f"{turn}.{number}"}) for number, call in enumerate(found, 1))


def _call_objects(block: str) -> list[dict[str, Any]]:
    """Objects with a name in the block's outermost value, or one for each line."""
    if (value := next(json_candidates(block), None)) is None:
        return []
    lines = [line for line in block.splitlines() if line.strip()]
    if isinstance(value, dict) and len(lines) > 1:
        each = [next(json_candidates(line), None) for line in lines]
        if all(isinstance(one, dict) and "name" in one for one in each):
            return [one for one in each if isinstance(one, dict)]
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, dict) and isinstance(one.get("name"), str)]


def _call(value: dict[str, Any], block: str) -> ToolCall:
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = next(json_candidates(arguments), None)
    return ToolCall(
        id="", name=value["name"], arguments=arguments if isinstance(arguments, dict) else None, raw=block.strip()
    )
