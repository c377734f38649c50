"""A task with its runs as text, for every prompt that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.episodes.types import Episode
from cleartrace.learn.protocol import Signal
from cleartrace.learn.reflect.runs import Budget, cited, judgement, material, shown_entries, trace
from cleartrace.learn.text import cut


@dataclass(frozen=True)
class Shown:
    """A task and its runs as texts.

    Args:
        entries: ids of the entries in the runs' contexts, None where that is not recorded.
        runs: ascending by score, the probe last; each with its judgement.
    """

    id: str
    text: str
    entries: str | None
    runs: tuple[str, ...]

    def document(self) -> str:
        """All of it, under a heading."""
        return "\n\n".join([f"## Task {self.id}", self.text, *self.runs])


def runs_in(signals: Sequence[Signal]) -> int:
    """How many runs a prompt about `signals` shows."""
    return sum(len(one.episodes) + (one.probe is not None) for one in signals)


def shown(signal: Signal, budget: Budget, limit: int) -> Shown:
    """`signal` as text, at most `limit` bytes of trace for each run."""
    ascending = sorted(signal.episodes, key=lambda one: one.outcome.score or 0.0)
    names = [f"{number} of {len(ascending)}" for number in range(1, len(ascending) + 1)]
    runs = [_run(one, name, signal, budget, limit) for name, one in zip(names, ascending, strict=True)]
    if signal.probe is not None:
        runs.append(_run(signal.probe, "probe", signal, budget, limit))
    entries = shown_entries([one.trajectory for one in signal.episodes])
    return Shown(
        id=signal.task.id,
        text=material("task", cut(signal.task.input, budget.text_chars)),
        entries=None if entries is None else ", ".join(sorted(entries)),
        runs=tuple(runs),
    )


def _run(episode: Episode, name: str, signal: Signal, budget: Budget, limit: int) -> str:
    trajectory = episode.trajectory
    parts = [material("run", trace(trajectory, signal.task.input, budget, limit), name=name)]
    if trajectory.citations:
        parts.append(f"Entries the agent said it used: {cited(trajectory.citations)}")
    if trajectory.unknown_citations:
        parts.append(f"Ids it cited and was not shown: {', '.join(trajectory.unknown_citations)}")
    parts.append(material("judgement", judgement(episode.outcome, trajectory, min(budget.judgement_chars, limit // 8))))
    return "\n".join(parts)
