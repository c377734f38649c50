"""Small things that every adapter with tools needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cleartrace.environments.protocol import Action, CallResult
from cleartrace.llm.protocol import ToolCall


def refuse(call: ToolCall, reason: str) -> CallResult:
    """An answer to a call that was not carried out."""
    return CallResult(call_id=call.id, text=f"Error: {reason}", is_error=True)


def unreadable(call: ToolCall) -> CallResult:
    return refuse(call, f"the arguments of {call.name} are not a JSON object: {call.raw[:200]}")


def written(name: str, arguments: Mapping[str, Any]) -> str:
    """A call in a line, for people and reflectors.

    Example:
        >>> written("pay", {"amount": 3, "to": "Ann"})
        'pay(amount=3, to="Ann")'
    """
    return f"{name}({', '.join(f'{key}={json.dumps(value, default=str)}' for key, value in arguments.items())})"


def numbered(actions: Sequence[Action]) -> str:
    """What a list of actions does, a line for each call or message."""
    lines = [
        written(call.name, call.arguments or {}) if call else f"say: {action.text}"
        for action in actions
        for call in (action.calls or (None,))
        if call or action.text
    ]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def gold_call(name: str, arguments: Mapping[str, Any], number: int) -> ToolCall:
    return ToolCall(id=f"gold-{number}", name=name, arguments=dict(arguments))
