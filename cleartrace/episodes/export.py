"""Runs for other programs: chat rows for supervised tuning, and a table of outcomes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from cleartrace.data.files import whole_file, write_json_lines
from cleartrace.episodes.index import Row
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Episode, Step, StepKind, Trajectory

COLUMNS = (
    *(
        "id",
        "environment",
        "task",
        "agent",
        "provider",
        "context",
        "seed",
        "kind",
        "score",
        "passed",
        "failure",
        "blame",
    ),
    *("message", "stop", "turns", "calls", "input_tokens", "cached_tokens", "output_tokens", "cost", "seconds"),
    *("context_tokens_in", "context_tokens_out", "abstained"),
)
_OWN = (StepKind.THOUGHT, StepKind.MESSAGE, StepKind.CALL)


def export_sft(
    store: EpisodeStore, rows: Iterable[Row], path: Path, *, min_score: float = 1.0, with_context: bool = True
) -> int:
    """Chat rows `{"messages", "environment", "task_id", "episode"}` of clean runs from `min_score` up.

    Returns how many. Calls stand in OpenAI's form. Runs without a reply of the model are left out.

    Args:
        with_context: False leaves out what stood beside the task, to teach a model to do without it.
    """
    return write_json_lines(path, _sft_rows(store, rows, min_score, with_context))


def _sft_rows(
    store: EpisodeStore, rows: Iterable[Row], min_score: float, with_context: bool
) -> Iterator[dict[str, Any]]:
    for row in rows:
        if not row.clean or row.score is None or row.score < min_score:
            continue
        messages = chat(store.get(row.id).trajectory, with_context)
        if any(message["role"] == "assistant" for message in messages):
            yield {"messages": messages, "environment": row.environment, "task_id": row.task, "episode": row.id}


def chat(trajectory: Trajectory, with_context: bool = True) -> list[dict[str, Any]]:
    """A trajectory as messages in OpenAI's form, with the context at the end of the system prompt, as it was read."""
    context = trajectory.context.text if with_context else ""
    rules = [step.text for step in trajectory.steps if _is_system(step)]
    head = "\n\n".join(filter(None, [*rules, context]))
    messages: list[dict[str, Any]] = [{"role": "system", "content": head}] if head else []
    rest = [step for step in trajectory.steps if not _is_system(step)]
    written_out = False
    for own, group in groupby(rest, lambda step: step.kind in _OWN):
        steps = list(group)
        if own:
            message, written_out = _assistant(steps)
            messages.append(message)
        else:
            messages += _answers(steps, written_out)
    return messages


def _is_system(step: Step) -> bool:
    return step.kind is StepKind.INPUT and step.name == "system"


def _assistant(steps: Sequence[Step]) -> tuple[dict[str, Any], bool]:
    """One reply of the model, and whether its calls are written out in its text."""
    content = "\n".join(step.text for step in steps if step.kind is StepKind.MESSAGE)
    calls = [step for step in steps if step.kind is StepKind.CALL]
    written_out = bool(calls) and all(step.text and step.text in content for step in calls)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if thoughts := [step.text for step in steps if step.kind is StepKind.THOUGHT]:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls and not written_out:
        message["tool_calls"] = [_call(step) for step in calls]
    return message, written_out


def _call(step: Step) -> dict[str, Any]:
    arguments = step.text if step.arguments is None else json.dumps(step.arguments, ensure_ascii=False)
    return {"id": step.call_id, "type": "function", "function": {"name": step.name, "arguments": arguments}}


def _answers(steps: Sequence[Step], written_out: bool) -> list[dict[str, Any]]:
    """What came back. Results of calls in plain text came as messages of the user."""
    messages: list[dict[str, Any]] = []
    for step in steps:
        if step.kind is StepKind.RESULT and not written_out:
            messages.append({"role": "tool", "tool_call_id": step.call_id, "content": step.text})
        elif messages and messages[-1]["role"] == "user":
            messages[-1]["content"] += f"\n\n{step.text}"
        else:
            messages.append({"role": "user", "content": step.text})
    return messages


def export_csv(store: EpisodeStore, rows: Iterable[Row], path: Path) -> int:
    """A line for each run with what it was, how it went and what it cost; returns how many."""
    n = 0
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            values = _values(row, store.get(row.id))
            writer.writerow(["" if values[name] is None else values[name] for name in COLUMNS])
            n += 1
    return n


def _values(row: Row, episode: Episode) -> dict[str, Any]:
    trajectory, failure = episode.trajectory, episode.outcome.failure
    usage, made = trajectory.usage, trajectory.context.usage
    return row._asdict() | {
        "passed": row.passed,
        "blame": failure.kind.blame.value if failure else "",
        "message": failure.message if failure else "",
        "turns": trajectory.turns,
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "cost": usage.cost,
        "seconds": trajectory.seconds,
        "context_tokens_in": made.input_tokens,
        "context_tokens_out": made.output_tokens,
        "abstained": trajectory.context.abstained,
    }
