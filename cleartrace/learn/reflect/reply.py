"""What a reflecting model is asked to write, and how it becomes reflections. Every mode of reflection ends here."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from cleartrace.context.playbook.ops import Refusal
from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.lenient import CLOSED, Lenient
from cleartrace.learn.protocol import (
    CoverageGap,
    EntryVerdict,
    FailureType,
    GapKind,
    Reflection,
    RootCause,
    Signal,
    Tag,
)
from cleartrace.learn.reflect.runs import shown_entries
from cleartrace.llm.structured import Structured
from cleartrace.trajectory.record import written

_STRIPPED = " \t\n[](){}`'\"#"


class VerdictRow(BaseModel):
    model_config = ConfigDict(json_schema_extra=CLOSED)

    entry_id: str
    tag: Tag
    why: str = ""


class GapRow(BaseModel):
    model_config = ConfigDict(json_schema_extra=CLOSED)

    situation: str
    trigger: str = ""
    kind: GapKind = GapKind.PROCEDURE
    suggestion: str = ""


class Finding(Lenient):
    """About one task."""

    analysis: str = Field(min_length=1)
    verdicts: list[VerdictRow] = []


class AttributedFinding(Finding):
    """With the auxiliary fields."""

    failure_type: FailureType | None = None
    root_cause: RootCause | None = None
    question: str = ""
    gaps: list[GapRow] = []


class NumberedFinding(Finding):
    task: int


class NumberedAttributedFinding(AttributedFinding):
    task: int


class Findings(Lenient):
    """About several tasks in one reply."""

    tasks: list[NumberedFinding] = Field(min_length=1)
    patterns: str = ""


class AttributedFindings(Lenient):
    tasks: list[NumberedAttributedFinding] = Field(min_length=1)
    patterns: str = ""


def reply_model(auxiliary: bool, batched: bool) -> type[Lenient]:
    """The schema of a reply."""
    if batched:
        return AttributedFindings if auxiliary else Findings
    return AttributedFinding if auxiliary else Finding


def read(
    reply: Structured[Lenient], text: str, signals: Sequence[Signal], playbook: Playbook, prompt_hash: str
) -> tuple[Reflection, ...]:
    """What a reply says about `signals`; `text`: as it was written."""
    if reply.value is None:
        return (unread(text, signals, f"the reply could not be read: {reply.error}", prompt_hash),)
    return reflections(reply.value, signals, playbook, prompt_hash)


def reflections(
    reply: Lenient, signals: Sequence[Signal], playbook: Playbook, prompt_hash: str
) -> tuple[Reflection, ...]:
    """One reflection for each signal, in order; after them, where the reply names patterns, one about all of them."""
    if isinstance(reply, Finding):
        return (about(signals[0], reply, playbook, prompt_hash),)
    assert isinstance(reply, Findings | AttributedFindings)
    found = {one.task: one for one in reversed(reply.tasks)}
    every = [
        about(signal, found[number], playbook, prompt_hash)
        if number in found
        else nothing((signal,), "the reply says nothing about this task", prompt_hash)
        for number, signal in enumerate(signals, 1)
    ]
    strays = [number for number in sorted(found) if not 1 <= number <= len(signals)]
    lost = [*reply.dropped, *(f"tasks: there is no task {number}" for number in strays)]
    if reply.patterns.strip() or lost:
        every.append(
            Reflection(
                task_ids=tuple(one.task.id for one in signals),
                episodes=_episodes(signals),
                analysis=reply.patterns.strip(),
                prompt_hash=prompt_hash,
                dropped=_refusals(lost),
            )
        )
    return tuple(every)


def about(signal: Signal, finding: Finding, playbook: Playbook, prompt_hash: str) -> Reflection:
    """`finding` as a reflection, with verdicts only on entries that its runs could have used."""
    given = [EntryVerdict(**row.model_dump()) for row in finding.verdicts]
    verdicts, refused = checked(given, signal, playbook)
    extra = finding if isinstance(finding, AttributedFinding) else None
    return Reflection(
        task_ids=(signal.task.id,),
        episodes=_episodes((signal,)),
        analysis=finding.analysis.strip(),
        verdicts=verdicts,
        failure_type=extra.failure_type if extra else None,
        root_cause=extra.root_cause if extra else None,
        question=extra.question if extra else "",
        gaps=tuple(CoverageGap(**gap.model_dump()) for gap in extra.gaps) if extra else (),
        prompt_hash=prompt_hash,
        dropped=_refusals(finding.dropped) + refused,
    )


def checked(
    verdicts: Sequence[EntryVerdict], signal: Signal, playbook: Playbook
) -> tuple[tuple[EntryVerdict, ...], tuple[Refusal, ...]]:
    """Verdicts that may be counted, one for each entry, and the others with the reason.

    An entry that stood in no run's context, or at another revision than now, has earned nothing here (R8).
    """
    runs = (*signal.episodes, *((signal.probe,) if signal.probe else ()))
    shown = shown_entries([one.trajectory for one in runs])
    kept: dict[str, EntryVerdict] = {}
    refused = []
    for verdict in verdicts:
        id = verdict.entry_id.strip(_STRIPPED)
        entry = playbook.entry(id)
        if entry is None:
            reason = "the playbook has no such entry"
        elif id in kept:
            reason = "the entry has a verdict for this task already"
        elif shown is not None and id not in shown:
            reason = "the entry was in the context of none of these runs"
        elif shown is not None and entry.revision not in shown[id]:
            reason = f"these runs saw revision {max(shown[id])}, and the playbook holds {entry.revision}"
        else:
            kept[id] = verdict.model_copy(update={"entry_id": id})
            continue
        refused.append(Refusal(proposed=verdict.model_dump(mode="json"), reason=reason))
    return tuple(kept.values()), tuple(refused)


def unread(text: str, signals: Sequence[Signal], reason: str, prompt_hash: str) -> Reflection:
    """A reply that could not be read: its text is the analysis, and nothing is counted."""
    return nothing(signals, reason, prompt_hash).model_copy(update={"analysis": (written(text) or "").strip()})


def nothing(signals: Sequence[Signal], reason: str, prompt_hash: str = "") -> Reflection:
    """A reflection that found nothing."""
    return Reflection(
        task_ids=tuple(one.task.id for one in signals),
        episodes=_episodes(signals),
        analysis="",
        prompt_hash=prompt_hash,
        error=reason,
    )


def clean(signal: Signal) -> Signal | None:
    """`signal` with the runs that may be learned from, or None where there are none (S8)."""
    episodes = tuple(one for one in signal.episodes if one.outcome.scored and not one.is_probe)
    return signal.model_copy(update={"episodes": episodes}) if episodes else None


def _episodes(signals: Sequence[Signal]) -> tuple[str, ...]:
    return tuple(episode.id for signal in signals for episode in signal.episodes)


def _refusals(dropped: Sequence[str]) -> tuple[Refusal, ...]:
    return tuple(Refusal(proposed=note, reason="the reply's schema does not allow it") for note in dropped)
