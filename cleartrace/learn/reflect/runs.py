"""A run as text for a model that examines it: what the agent saw and did, and apart from it how that was judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.episodes.types import Outcome, PartKind, PartRef, Step, StepKind, Trajectory
from cleartrace.learn.text import cut, percent, size

_WORTH_NAMING = 20
"""Characters from which on a text is named in place of being repeated."""


@dataclass(frozen=True)
class Budget:
    """How much of runs a prompt shows.

    Args:
        result_chars: of one result of a tool; start and end are kept.
        text_chars: of any other step.
        judgement_chars: of feedback and of details, each, and never more than an eighth of the run's bytes.
        run_bytes: of the trace of one run, UTF-8. The first and the last steps are kept.
        total_bytes: of all traces of one prompt; split evenly over them.
    """

    result_chars: int = 2_000
    text_chars: int = 4_000
    judgement_chars: int = 4_000
    run_bytes: int = 48_000
    total_bytes: int = 192_000

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 1_000:
            raise ValueError(f"every limit of a budget is at least 1000, got {self}")

    def for_runs(self, count: int) -> int:
        """Bytes that each of `count` runs may take."""
        return min(self.run_bytes, self.total_bytes // max(1, count))


BUDGET = Budget()


def material(tag: str, text: str, **attributes: object) -> str:
    """`text` in tags that nothing in it can close."""
    opened = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<{tag}{opened}>\n{text.replace(f'</{tag}', f'<|/{tag}')}\n</{tag}>"


def trace(trajectory: Trajectory, task_input: str, budget: Budget, limit: int) -> str:
    """The numbered steps of a run in at most `limit` bytes.

    Text that the prompt shows elsewhere, the task and the context, is named in place of being repeated.
    """
    most = limit // 8  # so that no single step takes the place of all others
    results, texts = min(budget.result_chars, most), min(budget.text_chars, most)
    known = {trajectory.context.text.strip(): "(the context)", task_input.strip(): "(the task)"}
    steps = [f"[{n}] {_step(one, known, results, texts)}" for n, one in enumerate(trajectory.steps, 1)]
    if trajectory.output and not any(trajectory.output in one.text for one in trajectory.steps):
        steps.append(f"[output] {cut(trajectory.output, texts)}")
    return _middle_out(steps, limit)


def judgement(outcome: Outcome, trajectory: Trajectory, chars: int) -> str:
    """Score, how the run ended, and what the evaluator said: feedback and details at most `chars` each."""
    lines = [f"score: {percent(outcome.score)}", f"ended by: {trajectory.stop.value.replace('_', ' ')}"]
    if outcome.failure is not None:
        lines.append(f"failure: {outcome.failure.kind.value.replace('_', ' ')}. {outcome.failure.message}".rstrip())
    if outcome.feedback:
        lines.append(f"feedback: {cut(outcome.feedback, chars)}")
    if outcome.details:
        lines.append(f"details: {cut(_json(outcome.details), chars)}")
    return "\n".join(lines)


def shown_entries(trajectories: Sequence[Trajectory]) -> dict[str, set[int]] | None:
    """Ids of the entries that stood in the runs' contexts, each with its revisions. None where no run says."""
    parts = [part for one in trajectories for part in one.context.parts]
    if not parts:
        return None
    shown: dict[str, set[int]] = {}
    for part in parts:
        if part.kind is PartKind.ENTRY:
            shown.setdefault(part.id, set()).add(part.revision)
    return shown


def cited(citations: Sequence[PartRef]) -> str:
    """The entries an agent said it used, each once, in order."""
    return ", ".join(dict.fromkeys(one.id for one in citations))


def _step(step: Step, known: dict[str, str], result_chars: int, text_chars: int) -> str:
    if step.kind is StepKind.CALL:
        arguments = step.text if step.arguments is None else _json(step.arguments)
        return cut(f"call {step.name}({arguments})", text_chars)
    if step.kind is StepKind.RESULT:
        head = "result" + (f" of {step.name}" if step.name else "") + (", an error" if step.is_error else "")
        return f"{head}: {cut(step.text, result_chars)}"
    text = step.text
    if step.kind is StepKind.INPUT:
        for passage, name in known.items():
            text = text.replace(passage, name) if len(passage) >= _WORTH_NAMING else text
    return f"{step.kind.value}: {cut(text, text_chars)}"


def _middle_out(lines: list[str], limit: int) -> str:
    """Lines joined, in at most `limit` bytes: where they are too many, whole ones from both ends."""
    whole = "\n".join(lines)
    if size(whole) <= limit:
        return whole
    left = limit - size(f"({len(lines)} steps left out)") - 2
    first, last = 0, len(lines)
    while first < last:
        from_front = first <= len(lines) - last
        line = lines[first] if from_front else lines[last - 1]
        if size(line) + 1 > left:
            break
        left -= size(line) + 1
        first, last = (first + 1, last) if from_front else (first, last - 1)
    return "\n".join([*lines[:first], f"({last - first} steps left out)", *lines[last:]])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
