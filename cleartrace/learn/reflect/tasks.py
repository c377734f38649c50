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


def runs_of(signals: Sequence[Signal]) -> list[Episode]:
    """The runs of a prompt about `signals`, in the order in which it shows them."""
    return [run for one in signals for run in (*_ascending(one), *((one.probe,) if one.probe else ()))]


def runs_in(signals: Sequence[Signal]) -> int:
    """How many runs a prompt about `signals` shows."""
    return len(runs_of(signals))


def shown(signal: Signal, budget: Budget, limit: int, folders: Sequence[str] = ()) -> Shown:
    """`signal` as text, at most `limit` bytes of trace for each run.

    Args:
        folders: where a reader finds each of the signal's `runs_of`, in place of its trace.
    """
    episodes = runs_of([signal])
    count = len(signal.episodes)
    names = [f"{number} of {count}" for number in range(1, count + 1)] + ["probe"] * (len(episodes) - count)
    if folders:
        bodies = [f"Run {name}: its files are in {folder}/" for name, folder in zip(names, folders, strict=True)]
    else:
        traces = [trace(one.trajectory, signal.task.input, budget, limit) for one in episodes]
        bodies = [material("run", text, name=name) for name, text in zip(names, traces, strict=True)]
    chars = min(budget.judgement_chars, limit // 8)
    runs = [_run(one, body, chars) for one, body in zip(episodes, bodies, strict=True)]
    entries = shown_entries([one.trajectory for one in signal.episodes])
    return Shown(
        id=signal.task.id,
        text=material("task", cut(signal.task.input, budget.text_chars)),
        entries=None if entries is None else ", ".join(sorted(entries)),
        runs=tuple(runs),
    )


def _ascending(signal: Signal) -> list[Episode]:
    return sorted(signal.episodes, key=lambda one: one.outcome.score or 0.0)


def _run(episode: Episode, body: str, judgement_chars: int) -> str:
    trajectory = episode.trajectory
    parts = [body]
    if trajectory.citations:
        parts.append(f"Entries the agent said it used: {cited(trajectory.citations)}")
    if trajectory.unknown_citations:
        parts.append(f"Ids it cited and was not shown: {', '.join(trajectory.unknown_citations)}")
    parts.append(material("judgement", judgement(episode.outcome, trajectory, judgement_chars)))
    return "\n".join(parts)
