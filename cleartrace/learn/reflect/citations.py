"""A reflector that asks no model: it goes by what agents cited and how their runs ended."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.protocol import EntryVerdict, Reflection, Signal, Tag
from cleartrace.learn.reflect.reply import checked, clean, nothing
from cleartrace.learn.text import percent


class CitationReflector:
    """Deterministic and free. Its verdicts are as good as the agent's citations; it names no causes."""

    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        """See `Reflector`."""
        return tuple(_about(one, playbook) for one in signals)


def _about(signal: Signal, playbook: Playbook) -> Reflection:
    kept = clean(signal)
    if kept is None:
        return nothing((signal,), "it has no clean run with a score")
    scores = ", ".join(percent(score) for score in kept.scores)
    return Reflection(
        task_ids=(signal.task.id,),
        episodes=tuple(one.id for one in kept.episodes),
        analysis=f"The runs scored {scores}. Verdicts are from citations alone.",
        verdicts=cited_verdicts(kept, playbook),
    )


def cited_verdicts(signal: Signal, playbook: Playbook) -> tuple[EntryVerdict, ...]:
    """Credit from citations. An entry cited in runs that all passed is helpful, in runs that all did not, harmful;
    otherwise neutral. The probe run is one of them."""
    results: dict[str, set[bool]] = {}
    for run in (*signal.episodes, *((signal.probe,) if signal.probe else ())):
        for citation in run.trajectory.citations:
            if run.outcome.scored:
                results.setdefault(citation.id, set()).add(run.outcome.passed)
    tags = {frozenset({True}): Tag.HELPFUL, frozenset({False}): Tag.HARMFUL}
    verdicts = [
        EntryVerdict(entry_id=id, tag=tags.get(frozenset(passed), Tag.NEUTRAL), why="cited by the agent")
        for id, passed in results.items()
    ]
    return checked(verdicts, signal, playbook)[0]
