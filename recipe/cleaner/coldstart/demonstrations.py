"""Demonstrations: call, tool response, perhaps a repair, answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from cleartrace.data.rows import prompt_messages
from cleartrace.data.tasks import Task
from cleartrace.tools import ToolResult
from cleartrace.tools.render import render
from recipe.cleaner.coldstart.corrupt import corrupt
from recipe.cleaner.coldstart.execute import run_trusted

Messages = list[dict[str, str]]
TOOL_NAME = "code_interpreter"
MAX_CALLS = 4


@dataclass(frozen=True)
class ErrorRates:
    """Probability that the first call, and that a later call, is corrupted."""

    first: float = 0.5
    retry: float = 0.5


def call_text(code: str) -> str:
    """An assistant turn that calls the tool, in the Hermes format."""
    call = {"name": TOOL_NAME, "arguments": {"code": code}}
    return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"


def answer_text(answer: str) -> str:
    return f"Answer: \\boxed{{{answer}}}"


def demonstrate(task: Task, rng: Random, rates: ErrorRates) -> Messages:
    """A conversation that ends with the right answer after at most `MAX_CALLS` calls, the last one correct."""
    messages = prompt_messages(task.question)
    for attempt in range(MAX_CALLS):
        rate = rates.first if attempt == 0 else rates.retry
        program = rng.choice(task.programs)
        broken = _broken(program, rng) if attempt < MAX_CALLS - 1 and rng.random() < rate else None
        code, result = broken or (program, run_trusted(program))
        messages.append({"role": "assistant", "content": call_text(code)})
        messages.append({"role": "tool", "content": render(result)})
        if result.ok:
            break
    messages.append({"role": "assistant", "content": answer_text(task.answer)})
    return messages


def copy_practice(rng: Random, words: list[str]) -> Messages:
    """A conversation that asks for a list of random numbers and words to be repeated."""
    items = [_item(rng, words) for _ in range(rng.randrange(3, 16))]
    listed = " ".join(items)
    return [{"role": "user", "content": listed}, {"role": "assistant", "content": listed}]


def _item(rng: Random, words: list[str]) -> str:
    return rng.choice(words) if rng.random() < 0.3 else str(rng.randrange(10 ** rng.randrange(1, 6)))


def _broken(program: str, rng: Random) -> tuple[str, ToolResult] | None:
    """A corrupted program that really fails, or None when six tries gave none."""
    for _ in range(6):
        code = corrupt(program, rng)
        result = run_trusted(code)
        if not result.ok:
            return code, result
    return None
