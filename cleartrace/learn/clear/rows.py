"""Guidance as rows: (task, guidance) with all that led to it; filtered, deduplicated and split by scenario."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import Field

from cleartrace.episodes.types import Episode, Record
from cleartrace.learn.clear.subsets import Subset


class GuidanceRow(Record):
    """One training example of a context augmentation model.

    Args:
        task, facts: description and further facts as agents see them.
        guidance: may be empty: the model learns to abstain.
        subset, episodes, scores: the runs that were contrasted; `reflection`: id of the reflection's own run.
        writer: hash of the reflection agent.
    """

    schema_version: int = 1
    environment: str
    task_id: str
    group: str
    task: str
    facts: dict[str, Any] = Field(default_factory=dict)
    guidance: str
    subset: str
    episodes: tuple[str, ...]
    scores: tuple[float, ...]
    reflection: str
    writer: str


class Reason(str, Enum):
    """Why a reflection gave no row."""

    NO_GUIDANCE = "no guidance was submitted"
    FAILED = "the reflection failed through no fault of the model"
    DUPLICATE = "the same task has this guidance already"
    LEAK = "it holds what only an evaluator knows"


class Dropped(Record):
    """A reflection without a row. `note`: what leaked, or how the reflection ended; `guidance`: where there was one."""

    subset: str
    task_id: str
    reflection: str
    reason: Reason
    note: str = ""
    guidance: str | None = None


@dataclass(frozen=True)
class Rows:
    """Together these are all reflections, each side in the order of the subsets."""

    rows: tuple[GuidanceRow, ...]
    dropped: tuple[Dropped, ...]


Leaks = Callable[[str, str], str]
"""(task id, guidance) -> what the guidance gives away that an agent must not know; "" for nothing."""


def gather(subsets: Sequence[Subset], reflections: Iterable[Episode], leaks: Leaks = lambda task, text: "") -> Rows:
    """Rows in the order of `subsets`. Reflections of other subsets are passed over."""
    by_subset = {one.task_id: one for one in reflections}
    rows: list[GuidanceRow] = []
    dropped: list[Dropped] = []
    seen: set[tuple[str, str]] = set()
    for subset in subsets:
        if (episode := by_subset.get(subset.id)) is None:
            continue
        row = _row(subset, episode)
        reason, note = _reason(episode, row, seen, leaks)
        if row is not None and reason is None:
            seen.add(_key(row))
            rows.append(row)
        elif reason is not None:
            guidance = row.guidance if row else None
            dropped.append(
                Dropped(
                    subset=subset.id, task_id=subset.task.id, reflection=episode.id, reason=reason, note=note,
                    guidance=guidance,
                )
            )  # fmt: skip
    return Rows(tuple(rows), tuple(dropped))


def _reason(
    episode: Episode, row: GuidanceRow | None, seen: set[tuple[str, str]], leaks: Leaks
) -> tuple[Reason | None, str]:
    failure = episode.outcome.failure
    if row is None:
        reason = Reason.NO_GUIDANCE if episode.outcome.scored else Reason.FAILED
        return reason, f"{failure.kind.value}: {failure.message}" if failure else ""
    if note := leaks(row.task_id, row.guidance):
        return Reason.LEAK, note
    return (Reason.DUPLICATE, "") if _key(row) in seen else (None, "")


def _key(row: GuidanceRow) -> tuple[str, str]:
    return row.task_id, " ".join(row.guidance.lower().split())


def _row(subset: Subset, episode: Episode) -> GuidanceRow | None:
    guidance = episode.outcome.details.get("guidance")
    if not episode.outcome.scored or not isinstance(guidance, str):
        return None
    task = subset.task
    return GuidanceRow(
        environment=task.environment, task_id=task.id, group=task.group or task.id, task=task.input,
        facts=task.metadata, guidance=guidance,
        subset=subset.id, episodes=subset.episodes, scores=subset.scores, reflection=episode.id,
        writer=episode.trajectory.agent,
    )  # fmt: skip


@dataclass(frozen=True)
class Split:
    """`moved`: rows taken out of training because their task text nearly repeats a held-out one (A23)."""

    train: tuple[GuidanceRow, ...]
    held_out: tuple[GuidanceRow, ...]
    moved: tuple[GuidanceRow, ...] = ()


def split(rows: Sequence[GuidanceRow], share: float = 0.2, seed: int = 0, near: float = 0.9) -> Split:
    """Hold out whole scenarios, about `share` of the rows: never a task, nor a twin of its text, on both sides (A23).

    Args:
        near: share of common word trigrams from which on two task texts are twins; above 1 looks for none.

    Raises:
        ValueError: `share` leaves a side without a scenario, or every row that is left nearly repeats a held-out one.
    """
    groups = sorted({row.group for row in rows})
    random.Random(f"{seed}:split").shuffle(groups)
    size = {group: sum(row.group == group for row in rows) for group in groups}
    held: set[str] = set()
    for group in groups:
        if sum(size[one] for one in held) >= share * len(rows):
            break
        held.add(group)
    if not held or len(held) == len(groups):
        raise ValueError(f"{len(groups)} scenarios cannot be split with {share:.0%} of the rows held out")
    rest = [row for row in rows if row.group not in held]
    twins = twins_of((row.task for row in rest), (row.task for row in rows if row.group in held), near)
    train = tuple(row for row in rest if row.task not in twins)
    if not train:
        raise ValueError(f"all {len(rest)} rows to train on nearly repeat a held-out task (near = {near:g})")
    return Split(
        train,
        tuple(row for row in rows if row.group in held),
        tuple(row for row in rest if row.task in twins),
    )


def twins_of(texts: Iterable[str], held_out: Iterable[str], near: float) -> set[str]:
    """Those of `texts` that nearly repeat one that is held out."""
    shown = [_trigrams(text) for text in set(held_out)]
    return {text for text in set(texts) if any(_overlap(_trigrams(text), other) >= near for other in shown)}


def _trigrams(text: str) -> frozenset[tuple[str, ...]]:
    words = text.lower().split()
    return frozenset(zip(words, words[1:], words[2:], strict=False)) or frozenset({tuple(words)})


def _overlap(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)
