"""Runs of one task under one playbook, merged: clean ones to learn from, the probe beside them (R4, S1, S8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.episodes.types import PASS, Episode, Task


@dataclass(frozen=True)
class Group:
    """What came of one task in one iteration.

    Args:
        clean: scored clean runs, ascending by score, runs of one score in the order they were asked for.
        probe: the scored probe run. It is in no figure below.
        unscored: clean runs that somebody other than the model spoiled.
        episodes: all runs, in the order they were asked for.
    """

    task: Task
    clean: tuple[Episode, ...]
    probe: Episode | None = None
    unscored: int = 0
    replayed: bool = False
    episodes: tuple[Episode, ...] = ()

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(one.outcome.score for one in self.clean if one.outcome.score is not None)

    @property
    def spread(self) -> float:
        return max(self.scores) - min(self.scores)

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores)

    @property
    def any_passed(self) -> bool:
        return max(self.scores) >= PASS

    @property
    def all_passed(self) -> bool:
        return min(self.scores) >= PASS

    @property
    def contrastive(self) -> bool:
        """At least one full pass and one that is not."""
        return self.any_passed and not self.all_passed

    @property
    def skipped(self) -> str:
        """Why nothing can be learned from it; '' where something can."""
        if self.clean:
            return ""
        if self.unscored:
            return f"no scored run: all {self.unscored} failed for reasons that are not the agent's"
        return "no clean run: only probe runs"


def merge(task: Task, episodes: Sequence[Episode], replayed: bool = False) -> Group:
    """Runs of `task`, in the order they were asked for, as one group."""
    clean = [one for one in episodes if not one.is_probe]
    scored = [one for one in clean if one.outcome.scored]
    return Group(
        task=task,
        clean=tuple(sorted(scored, key=lambda one: one.outcome.score or 0.0)),
        probe=next((one for one in episodes if one.is_probe and one.outcome.scored), None),
        unscored=len(clean) - len(scored),
        replayed=replayed,
        episodes=tuple(episodes),
    )
