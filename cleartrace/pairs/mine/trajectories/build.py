"""Stages 5 to 7 for one candidate: two runs in, two pairs or a reason out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cleartrace.pairs.audit.facts import ngram_overlap_gap
from cleartrace.pairs.mine.trajectories.facts import changed_file, submission_of
from cleartrace.pairs.mine.trajectories.instance import InstanceId
from cleartrace.pairs.mine.trajectories.judge import Case, Judge, Label, Verdict
from cleartrace.pairs.mine.trajectories.judge.case import text_of
from cleartrace.pairs.mine.trajectories.mask import LeakError, Masked, Needles, leaks, mask
from cleartrace.pairs.mine.trajectories.options import MineOptions
from cleartrace.pairs.mine.trajectories.patch import FilePatch
from cleartrace.pairs.mine.trajectories.read import Trajectory
from cleartrace.pairs.mine.trajectories.tasks import Task
from cleartrace.pairs.record import Pair, PairKind, both_directions

QUESTION = "A coding agent worked on {path} of the repository {repository}. Which run ends in this patch?"


class Outcome(str, Enum):
    """Where a candidate ends. Only PAIRED ones are written as pairs; REVIEW goes to the queue for people."""

    LEAK = "leak"
    MASK_COUNTS = "mask_counts_differ"
    NO_CONTEXT = "no_context_left"
    INVALID = "judged_invalid"
    REVIEW = "review"
    LENGTH = "length_ratio"
    TURNS = "turn_count"
    OVERLAP = "overlap_with_answer"
    PAIRED = "paired"


AFTER_MASKING = (Outcome.LEAK, Outcome.MASK_COUNTS, Outcome.NO_CONTEXT)
AFTER_JUDGING = (Outcome.INVALID, Outcome.REVIEW)


@dataclass(frozen=True)
class Side:
    """One run of a candidate and what it changed."""

    instance: InstanceId
    run: Trajectory
    patch: FilePatch
    end: int
    scope: str

    @classmethod
    def of(cls, instance: InstanceId, run: Trajectory, task: Task, scope: str) -> Side:
        submission = submission_of(run, task)
        return cls(instance, run, changed_file(submission), submission.end, scope)

    def context(self, needles: Needles, include_issue: bool) -> Masked:
        """What happened between the issue and the submission, cleaned."""
        messages = self.run.messages[: self.end]
        begin = next((i for i, message in enumerate(messages) if message.role == "assistant"), len(messages))
        if include_issue:
            begin = next((i for i, message in enumerate(messages) if message.role == "user"), begin)
        return mask([m for m in messages[begin:] if m.role != "system"], needles)


@dataclass(frozen=True)
class Built:
    """`pairs` is empty unless the outcome is PAIRED or REVIEW; `note` says more in words."""

    outcome: Outcome
    pairs: tuple[Pair, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "note": self.note,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "pairs": [pair.model_dump(mode="json", exclude_defaults=True) for pair in self.pairs],
        }


def masked_contexts(sides: Sequence[Side], options: MineOptions) -> tuple[Masked, Masked]:
    """Both contexts, cleaned of both patches.

    Raises:
        LeakError: one cannot be cleaned.
    """
    needles = Needles.of_patches((side.patch for side in sides), options.mask_removed)
    a, b = (side.context(needles, options.include_issue) for side in sides)
    if leaks((*a.messages, *b.messages), needles):
        raise LeakError("a changed line is left after masking")
    return a, b


def audit(pairs: Sequence[Pair], contexts: tuple[Masked, Masked], options: MineOptions) -> tuple[Outcome, str]:
    """Stage 7 for one candidate."""
    texts = [text_of(context.messages) for context in contexts]
    shorter, longer = sorted(map(len, texts))
    if shorter / longer < options.min_length_ratio:
        return Outcome.LENGTH, f"{shorter / longer:.2f}"
    turns = [sum(message.role == "assistant" for message in context.messages) for context in contexts]
    if abs(turns[0] - turns[1]) > options.max_turn_difference:
        return Outcome.TURNS, f"{turns[0]} and {turns[1]}"
    gaps = [ngram_overlap_gap(pair.answer, texts[i], texts[1 - i]) for i, pair in enumerate(pairs)]
    if max(map(abs, gaps)) > options.max_overlap_gap:
        return Outcome.OVERLAP, f"{gaps[0]:+.3f} and {gaps[1]:+.3f}"
    return Outcome.PAIRED, ""


def build(a: Side, b: Side, judge: Judge, options: MineOptions) -> Built:
    """Mask, judge both directions, audit. Raises: JudgeError."""
    try:
        contexts = masked_contexts((a, b), options)
    except LeakError as error:
        return Built(Outcome.LEAK, note=str(error))
    if not all(context.messages for context in contexts):
        return Built(Outcome.NO_CONTEXT)
    if contexts[0].messages == contexts[1].messages:
        return Built(Outcome.NO_CONTEXT, note="the contexts are the same once masked")
    if abs(contexts[0].count - contexts[1].count) > options.max_mask_difference:
        return Built(Outcome.MASK_COUNTS, note=f"{contexts[0].count} and {contexts[1].count}")
    question = QUESTION.format(path=a.patch.path, repository=a.instance.repository)
    answers = (a.patch.text, b.patch.text)
    verdicts = (
        judge(Case(question, answers[0], contexts[0], contexts[1], a.patch.path, a.scope)),
        judge(Case(question, answers[1], contexts[1], contexts[0], b.patch.path, b.scope)),
    )
    if any(verdict.label is Label.INVALID for verdict in verdicts):
        return Built(Outcome.INVALID, verdicts=verdicts)
    pairs = _pairs(a, b, question, answers, contexts, judge.name)
    if any(verdict.label is Label.UNCERTAIN for verdict in verdicts):
        return Built(Outcome.REVIEW, pairs, verdicts)
    outcome, note = audit(pairs, contexts, options)
    return Built(outcome, pairs if outcome is Outcome.PAIRED else (), verdicts, note)


def _pairs(
    a: Side, b: Side, question: str, answers: tuple[str, str], contexts: tuple[Masked, Masked], judge: str
) -> tuple[Pair, Pair]:
    cascade = {
        "instances": [a.instance.text, b.instance.text],
        "path": a.patch.path,
        "function": a.scope,
        "hidden": [context.count for context in contexts],
    }
    return both_directions(
        id=f"{a.instance.text}:{b.instance.bug}",
        kind=PairKind.TRAJECTORY,
        question=question,
        answers=answers,
        contexts=(contexts[0].messages, contexts[1].messages),
        group=a.instance.group,
        source="trajectories",
        meta={"cascade": cascade, "judge": judge},
    )
