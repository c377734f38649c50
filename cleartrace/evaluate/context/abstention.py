"""From two measured arms to what an abstaining provider goes by: rates without context, and effects of context."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cleartrace.data.errors import DataError
from cleartrace.data.files import whole_file
from cleartrace.episodes.types import Task
from cleartrace.evaluate.context.arm import Arm
from cleartrace.evaluate.context.compare import differences
from cleartrace.learn.credit.abstain import Measured
from cleartrace.learn.credit.intervals import difference_interval


def pass_rates(arm: Arm) -> dict[str, float]:
    """Share of full passes by task, of its scored runs."""
    passes: dict[str, list[bool]] = {}
    for episode in arm.episodes:
        if episode.outcome.scored:
            passes.setdefault(episode.task_id, []).append(episode.outcome.passed)
    return {id: sum(found) / len(found) for id, found in sorted(passes.items())}


def effects(without: Arm, with_context: Arm, tasks: Sequence[Task]) -> list[Measured]:
    """Score with context minus score without, task by task, over seeds that both arms have scored.

    Raises: `DataError` for arms that differ in more than context.
    """
    if unlike := differences(without.manifest, with_context.manifest):
        message = f"it differs from {without.name} in {', '.join(unlike)}, so the difference is not one of context"
        raise DataError(with_context.name, message)
    texts, pairs = {task.id: task for task in tasks}, with_context.by_key()
    found: dict[str, list[float]] = {}
    for key, one in without.by_key().items():
        other = pairs.get(key)
        if other is not None and one.outcome.score is not None and other.outcome.score is not None:
            found.setdefault(key[0], []).append(other.outcome.score - one.outcome.score)
    return [Measured(task=texts[id], effect=difference_interval(values)) for id, values in found.items() if id in texts]


def write_rates(without: Arm, path: Path) -> int:
    """Writes `rates.json`; returns the number of tasks."""
    rates = pass_rates(without)
    with whole_file(path) as partial:
        partial.write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")
    return len(rates)


def write_effects(without: Arm, with_context: Arm, tasks: Sequence[Task], path: Path) -> int:
    """Writes `effects.jsonl`; returns the number of tasks. Raises `DataError` where nothing can be compared."""
    measured = effects(without, with_context, tasks)
    if not measured:
        raise DataError(path, f"{without.name} and {with_context.name} share no scored run")
    with whole_file(path) as partial:
        partial.write_text("".join(one.model_dump_json() + "\n" for one in measured), encoding="utf-8")
    return len(measured)
