"""What an iteration leaves for the memory, as facts."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.context.playbook.apply import Change
from cleartrace.context.playbook.ops import Operation
from cleartrace.episodes.types import Record
from cleartrace.learn.accept.protocol import Verdict
from cleartrace.learn.memory.document import OPERATIONS, Evidence, LedgerRow, Measured, Status
from cleartrace.learn.mutate.findings import tally
from cleartrace.learn.protocol import Reflection
from cleartrace.learn.text import shorten

_TASKS = 8
_SUMMARY = 1_200
_OPERATIONS = 12


class IterationRecord(Record):
    """One iteration as the memory takes it in. Build it with `of`.

    Args:
        tally: verdicts of this iteration, a line for each entry.
        operations: edits that were made, one line each.
    """

    iteration: int
    tasks: tuple[str, ...] = ()
    summary: str = ""
    reflection_summary: str = ""
    tally: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()
    train_pass: float | None = None
    train_tgc: float | None = None

    @classmethod
    def of(
        cls,
        iteration: int,
        reflections: Sequence[Reflection],
        changes: Sequence[Change] = (),
        verdicts: Sequence[Verdict] = (),
        *,
        summary: str = "",
        train_pass: float | None = None,
        train_tgc: float | None = None,
    ) -> IterationRecord:
        """From what the loop has at its end.

        Args:
            changes: edits that stand in the playbook now.
            verdicts: of the acceptance policy; those without a measured interval say nothing here.
            summary: the mutator's own words.
        """
        told = [one for one in reflections if one.analysis]
        share = _SUMMARY // max(1, len(told))
        return cls(
            iteration=iteration,
            tasks=tuple(dict.fromkeys(id for one in reflections for id in one.task_ids))[:_TASKS],
            summary=summary,
            reflection_summary="\n".join(shorten(one.analysis, share) for one in told)[:_SUMMARY],
            tally=tuple(tally(reflections)[1:]),
            gaps=tuple(shorten(gap.situation, 240) for one in reflections for gap in one.gaps),
            operations=tuple(described(one) for one in changes[:_OPERATIONS]),
            measured=tuple(filter(None, (measured(one) for one in verdicts))),
            train_pass=train_pass,
            train_tgc=train_tgc,
        )

    def row(self) -> LedgerRow:
        """The ledger's row as facts alone give it."""
        return LedgerRow(
            iteration=self.iteration,
            summary=self.summary or "; ".join(self.operations) or "no edit",
            source_tasks=self.tasks,
            reflection_summary=self.reflection_summary,
            operations=self.operations[:OPERATIONS],
            train_pass=self.train_pass,
            train_tgc=self.train_tgc,
            measured=self.measured,
            observed_effect="; ".join(figures(one) for one in self.measured),
            status=measured_status(self.measured) or Status.UNTESTED,
            evidence=Evidence.MULTI_TRACE if len(self.tasks) > 1 else Evidence.SINGLE_TRACE,
        )


def described(change: Change) -> str:
    """An edit in a line: what, which entries, which text."""
    ids = change.added + change.changed + tuple(entry.id for entry in change.removed)
    return operation_line(change.operation, tuple(dict.fromkeys(ids)))


def operation_line(operation: Operation, ids: Sequence[str] = ()) -> str:
    """An operation in a line of at most 240 characters.

    Example:
        >>> from cleartrace.context.playbook.ops import Op
        >>> operation_line(Operation(op=Op.ADD, texts=("Look twice.",), section="checks"), ["e4"])
        'ADD e4 in checks: Look twice.'
    """
    named = " ".join(ids or operation.entry_ids)
    where = f" in {operation.section}" if operation.section else ""
    texts = f": {' / '.join(operation.texts)}" if operation.texts else ""
    return shorten(f"{operation.op.value} {named}".rstrip() + where + texts, 240)


def measured(verdict: Verdict) -> Measured | None:
    """The figures of a verdict, or None where it has no interval."""
    if verdict.effect is None or verdict.low is None or verdict.high is None:
        return None
    return Measured(
        operations=tuple(operation_line(one) for one in verdict.operations),
        kept=verdict.kept,
        effect=verdict.effect,
        low=verdict.low,
        high=verdict.high,
        pairs=verdict.pairs,
    )


def measured_status(effects: Sequence[Measured]) -> Status | None:
    """What measurements say of an iteration's edits; None without any.

    Those that were kept decide, and where none was, those that were dropped. An interval that covers 0 shows nothing.
    """
    deciding = [one for one in effects if one.kept] or list(effects)
    if not deciding:
        return None
    kinds = {Status.VALIDATED if one.low > 0 else Status.HARMFUL if one.high < 0 else Status.WATCH for one in deciding}
    return kinds.pop() if len(kinds) == 1 else Status.MIXED


def figures(one: Measured) -> str:
    """An effect in words, in points of score.

    Example:
        >>> figures(Measured(kept=True, effect=0.125, low=-0.02, high=0.27, pairs=40))
        'measured +12.5 points (95 % interval -2.0 to +27.0, 40 pairs), kept'
    """
    span = f"95 % interval {100 * one.low:+.1f} to {100 * one.high:+.1f}, {one.pairs} pairs"
    return f"measured {100 * one.effect:+.1f} points ({span}), {'kept' if one.kept else 'dropped'}"
