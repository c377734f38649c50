"""Logs of messages: OpenAI's form, Anthropic's, and that of Bedrock's Converse (which Strands agents write).

A line is `{"messages": [...]}`, with any of `system`, `task_id`, `environment`, `model` or `agent`, `seed`, `score`,
`feedback`. Other fields are kept in the outcome's details, never in the trajectory: they may be an evaluator's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.episodes.importers.common import (
    Found,
    Refused,
    Seeds,
    Source,
    Unreadable,
    outcome_of,
    task_of,
    text_of,
)
from cleartrace.episodes.types import Episode, Step, StepKind, Trajectory

_OWN = {"messages", "system", "task_id", "environment", "model", "agent", "seed", "score", "feedback", "tools"}
_PLACEHOLDERS = {"image", "image_url", "input_image", "document", "file", "input_audio", "audio", "video"}


def read(source: Source) -> Found:
    """The runs of a JSON lines file, one a line."""
    seeds = Seeds()
    rows = read_json_lines(source.path)
    while True:
        try:
            number, row = next(rows)
        except StopIteration:
            return
        except DataError as error:
            yield Refused(str(error).partition(": ")[0], f"{error.message}; the rest of the file was not read")
            return
        try:
            yield episode_of(row, source, seeds)
        except Unreadable as error:
            yield Refused(f"{source.path}, line {number}", str(error))


def episode_of(row: dict[str, Any], source: Source, seeds: Seeds) -> Episode:
    """One line of a log. Raises: `Unreadable`."""
    steps = tuple(steps_of(row.get("messages"), row.get("system")))
    asked = next((step.text for step in steps if step.kind is StepKind.INPUT and step.name == "user"), "")
    said = [step.text for step in steps if step.kind is StepKind.MESSAGE]
    environment = text_of(row.get("environment")) or source.environment or source.path.stem
    task = text_of(row.get("task_id")) or task_of(asked)
    agent = text_of(row.get("agent") or row.get("model")) or source.agent or "imported"
    seed = row.get("seed")
    trajectory = Trajectory(
        environment=environment,
        task_id=task,
        agent=agent,
        seed=seed if isinstance(seed, int) else seeds.of(environment, task, agent),
        steps=steps,
        output=said[-1] if said else "",
        turns=_turns(steps),
    )
    rest = {name: value for name, value in row.items() if name not in _OWN}
    outcome = outcome_of(row.get("score"), text_of(row.get("feedback")), {"log": rest} if rest else {})
    return Episode(trajectory=trajectory, outcome=outcome)


def steps_of(messages: Any, system: Any = None) -> Iterator[Step]:
    """Steps of a conversation in any of the three forms. Raises: `Unreadable`."""
    if not isinstance(messages, list) or not messages:
        raise Unreadable("`messages` is not a list of messages")
    if system:
        yield Step(kind=StepKind.INPUT, name="system", text=_text(system))
    names: dict[str, str] = {}
    for message in messages:
        if not isinstance(message, dict):
            raise Unreadable(f"a message is {text_of(message)[:80]}, not an object")
        for step in _steps(message):
            if step.kind is StepKind.CALL:
                names[step.call_id] = step.name
            elif step.kind is StepKind.RESULT and not step.name:
                step = step.model_copy(update={"name": names.get(step.call_id, "")})
            yield step


def _steps(message: dict[str, Any]) -> Iterator[Step]:
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        yield Step(kind=StepKind.INPUT, name="system", text=_text(content))
    elif role in ("tool", "function"):
        call_id, name = text_of(message.get("tool_call_id")), text_of(message.get("name"))
        yield Step(kind=StepKind.RESULT, name=name, call_id=call_id, text=_text(content))
    elif role == "user":
        yield from _blocks(content, Step(kind=StepKind.INPUT, name="user"))
    elif role == "assistant":
        if thought := message.get("reasoning_content") or message.get("reasoning"):
            yield Step(kind=StepKind.THOUGHT, text=_text(thought))
        yield from _blocks(content, Step(kind=StepKind.MESSAGE))
        yield from _openai_calls(message)
    else:
        raise Unreadable(f"a message has the role {role!r}")


def _openai_calls(message: dict[str, Any]) -> Iterator[Step]:
    calls = message.get("tool_calls") or (
        [{"function": message["function_call"]}] if "function_call" in message else []
    )
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise Unreadable(f"a tool call has no function: {text_of(call)[:80]}")
        yield _call(function.get("name"), function.get("arguments"), call.get("id"))


def _blocks(content: Any, plain: Step) -> Iterator[Step]:
    """Steps of a content: neighbouring texts are one step like `plain`."""
    texts: list[str] = []
    for block in content if isinstance(content, list) else [content]:
        step = _block(block)
        if isinstance(step, str):
            texts.append(step)
            continue
        yield from _joined(texts, plain)
        texts = []
        yield step
    yield from _joined(texts, plain)


def _joined(texts: list[str], plain: Step) -> Iterator[Step]:
    if text := "\n".join(filter(None, texts)):
        yield plain.model_copy(update={"text": text})


def _block(block: Any) -> Step | str:
    """A text, or a step of its own kind."""
    if block is None or isinstance(block, str):
        return text_of(block)
    if not isinstance(block, dict):
        raise Unreadable(f"a block of a message is {text_of(block)[:80]}")
    kind = block.get("type") or next(iter(block), "")
    inside = block if "type" in block else block[kind]
    if kind in ("text", "input_text", "output_text", "refusal"):
        return text_of(block.get("text", block.get("refusal")))
    if kind in _PLACEHOLDERS:
        return f"[{kind.removeprefix('input_').removesuffix('_url')}]"
    if kind in ("thinking", "reasoning", "reasoningContent", "redacted_thinking"):
        return Step(kind=StepKind.THOUGHT, text=_thought(kind, inside))
    if kind in ("tool_use", "toolUse") and isinstance(inside, dict):
        return _call(inside.get("name"), inside.get("input"), inside.get("id") or inside.get("toolUseId"))
    if kind in ("tool_result", "toolResult") and isinstance(inside, dict):
        bad = inside.get("is_error") is True or inside.get("status") == "error"
        id = text_of(inside.get("tool_use_id") or inside.get("toolUseId"))
        return Step(kind=StepKind.RESULT, call_id=id, text=_text(inside.get("content")), is_error=bad)
    raise Unreadable(f"a message holds a block of the unknown type {kind!r}")


def _thought(kind: str, inside: Any) -> str:
    if kind == "redacted_thinking" or not isinstance(inside, dict):
        return "[redacted]"
    found = inside.get("thinking") or inside.get("text") or inside.get("reasoningText") or inside.get("summary")
    return text_of(found.get("text") if isinstance(found, dict) else found)


def _call(name: Any, arguments: Any, id: Any) -> Step:
    """`text` keeps arguments that are not a JSON object."""
    raw = arguments
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = None
    good = isinstance(arguments, dict)
    return Step(
        kind=StepKind.CALL,
        name=text_of(name),
        arguments=json.loads(text_of(arguments)) if good else None,
        call_id=text_of(id),
        text="" if good else text_of(raw),
    )


def _text(content: Any) -> str:
    """All text of a content; blocks of other kinds are written as JSON."""
    parts = []
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, dict) and "json" in block and "type" not in block:
            parts.append(text_of(block["json"]))
            continue
        step = _block(block)
        parts.append(step if isinstance(step, str) else step.text or text_of(step.arguments))
    return "\n".join(filter(None, parts))


def _turns(steps: tuple[Step, ...]) -> int:
    """Replies of the model: runs of steps that it wrote."""
    own = [step.kind in (StepKind.THOUGHT, StepKind.MESSAGE, StepKind.CALL) for step in steps]
    return sum(now and not before for before, now in zip([False, *own], own, strict=False))
