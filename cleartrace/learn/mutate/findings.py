"""Reflections as the one document that a mutator reads. What a task gave stays with the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cleartrace.learn.protocol import EntryVerdict, FailureType, Reflection, Signal, Tag
from cleartrace.learn.reflect.runs import material
from cleartrace.learn.text import percent, shorten

_WHY = 300
"""Characters of a reason, an affirmation or a field of a gap."""


def findings(reflections: Sequence[Reflection], signals: Sequence[Signal]) -> str:
    """The document. With several tasks it begins with how they went and with a tally of verdicts over all of them."""
    told = [one for one in reflections if one.analysis or one.verdicts]
    by_task = {one.task.id: one for one in signals}
    blocks = [_finding(one, by_task) for one in told]
    if len({id for one in told for id in one.task_ids}) > 1:
        blocks.insert(0, "\n".join([summary(signals), *tally(told)]))
    silent = [f"{', '.join(one.task_ids)}: {one.error}" for one in reflections if one not in told and one.error]
    if silent:
        blocks.append("Without findings: " + "; ".join(silent))
    return "\n\n".join(blocks)


def summary(signals: Sequence[Signal]) -> str:
    """How many tasks every run passed, none did, and what lies between.

    Example:
        >>> summary([])
        'Tasks: 0. Full pass: 0. Partial: 0. Fail: 0.'
    """
    kinds = Counter(standing(one) for one in signals)
    return f"Tasks: {len(signals)}. Full pass: {kinds['full']}. Partial: {kinds['partial']}. Fail: {kinds['fail']}."


def standing(signal: Signal) -> str:
    """`full`: every run is a full pass. `fail`: every run scored 0. Otherwise `partial`."""
    if all(one.outcome.passed for one in signal.episodes):
        return "full"
    return "fail" if not any(signal.scores) else "partial"


def tally(reflections: Iterable[Reflection]) -> list[str]:
    """A line for each entry with a verdict, ids in order.

    Example:
        >>> verdict = EntryVerdict(entry_id="e1", tag=Tag.HARMFUL)
        >>> tally([Reflection(task_ids=("t",), episodes=(), analysis="", verdicts=(verdict,))])
        ['Verdicts over all tasks (+helpful -harmful ~neutral):', '- e1: +0 -1 ~0']
    """
    tags: dict[str, Counter[Tag]] = {}
    for verdict in (verdict for one in reflections for verdict in one.verdicts):
        tags.setdefault(verdict.entry_id, Counter())[verdict.tag] += 1
    lines = [f"- {id}: +{n[Tag.HELPFUL]} -{n[Tag.HARMFUL]} ~{n[Tag.NEUTRAL]}" for id, n in sorted(tags.items())]
    return ["Verdicts over all tasks (+helpful -harmful ~neutral):", *lines] if lines else []


def only_variance(reflections: Iterable[Reflection]) -> tuple[str, ...]:
    """Tasks to run more often, where luck of execution is all that was found; () where there is anything to edit.

    A finding without a type, as of a passed task, does not speak against it; a coverage gap does.
    """
    found = list(reflections)
    types = {one.failure_type for one in found} - {None}
    if types != {FailureType.EXECUTION_VARIANCE} or any(one.gaps for one in found):
        return ()
    tasks = [id for one in found if one.failure_type is not None for id in one.task_ids]
    return tuple(dict.fromkeys(tasks))


def _finding(reflection: Reflection, by_task: dict[str, Signal]) -> str:
    lines = [reflection.analysis] if reflection.analysis else []
    lines += [_verdict(one) for one in reflection.verdicts]
    lines += auxiliary(reflection)
    if len(reflection.task_ids) == 1:
        signal = by_task.get(reflection.task_ids[0])
        scores = ", ".join(percent(score) for score in signal.scores) if signal else "not known"
        heading = f"## Task {reflection.task_ids[0]} (score: {scores})"
    else:
        heading = f"## Over the tasks {', '.join(reflection.task_ids)}"
    return f"{heading}\n\n{material('finding', chr(10).join(lines))}"


def _verdict(verdict: EntryVerdict) -> str:
    return f"- {verdict.entry_id} {verdict.tag.value}" + (f": {shorten(verdict.why, _WHY)}" if verdict.why else "")


def auxiliary(reflection: Reflection) -> list[str]:
    """Lines on type, cause and gaps; none where they were not asked for."""
    lines = []
    if reflection.failure_type is not None:
        lines.append(f"Type of failure: {reflection.failure_type.value}")
    if reflection.root_cause is not None:
        why = f" ({shorten(reflection.question, _WHY)})" if reflection.question else ""
        lines.append(f"Root cause: {reflection.root_cause.value}{why}")
    for gap in reflection.gaps:
        parts = [shorten(one, _WHY) for one in (gap.situation, gap.trigger, gap.suggestion)]
        lines.append(f"Gap ({gap.kind.value}): {parts[0]} | trigger: {parts[1] or '-'} | suggestion: {parts[2] or '-'}")
    if (reflection.failure_type or reflection.root_cause) and not reflection.gaps:
        lines.append("Gaps: none")
    return lines
