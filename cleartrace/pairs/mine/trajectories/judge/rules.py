"""The offline judge: the six reasons as rules on text. It sees cues, not meaning."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from cleartrace.pairs.mine.trajectories.judge.case import Case, Label, Reason, Verdict, text_of
from cleartrace.pairs.mine.trajectories.mask import Masked

_WORD = re.compile(r"[A-Za-z_]\w{3,}")
_STYLES = ("```bash", "<function=", "<returncode>", "<output>", "THOUGHT:")


def styles(side: Masked) -> frozenset[str]:
    """Which of the known ways of writing calls and results a context uses."""
    text = text_of(side.messages)
    return frozenset(mark for mark in _STYLES if mark in text)


def telltale_words(case: Case) -> set[str]:
    """Words of the changed lines, and of no other line of the patch, that only one of the contexts has."""
    lines = case.answer.splitlines()
    changed = {w for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---") for w in _WORD.findall(line)}
    kept = {w for line in lines if line[:1] not in ("+", "-") for w in _WORD.findall(line)}
    pos, neg = (set(_WORD.findall(text_of(side.messages))) for side in (case.pos, case.neg))
    return (changed - kept) & (pos ^ neg)


@dataclass(frozen=True)
class RuleJudge:
    """Thresholds: below `invalid` a pair is INVALID, between the two UNCERTAIN."""

    name: str = "rules"
    length_invalid: float = 0.67
    length_valid: float = 0.8
    max_mask_difference: int = 1

    def __call__(self, case: Case) -> Verdict:
        uncertain: Verdict | None = None
        checks: tuple[Callable[[Case], Verdict | None], ...] = (
            self._length, self._format, self._masks, self._leak, self._ambiguous, self._decisive,
        )  # fmt: skip
        for check in checks:
            verdict = check(case)
            if verdict and verdict.label is Label.INVALID:
                return verdict
            uncertain = uncertain or verdict
        return uncertain or Verdict(Label.VALID)

    def _length(self, case: Case) -> Verdict | None:
        a, b = sorted(len(text_of(side.messages)) for side in (case.pos, case.neg))
        ratio = a / max(b, 1)
        if ratio >= self.length_valid:
            return None
        label = Label.INVALID if ratio < self.length_invalid else Label.UNCERTAIN
        return Verdict(label, Reason.LENGTH_DISPARITY, f"length ratio {ratio:.2f}")

    def _format(self, case: Case) -> Verdict | None:
        if differ := styles(case.pos) ^ styles(case.neg):
            return Verdict(Label.INVALID, Reason.FORMATTING_DIFFERENCE, f"only one has {', '.join(sorted(differ))}")
        return None

    def _masks(self, case: Case) -> Verdict | None:
        if abs(case.pos.count - case.neg.count) > self.max_mask_difference:
            note = f"{case.pos.count} and {case.neg.count} hidden places"
            return Verdict(Label.INVALID, Reason.MASKING_INCONSISTENCY, note)
        return None

    def _leak(self, case: Case) -> Verdict | None:
        words = telltale_words(case)
        if not words:
            return None
        label = Label.INVALID if len(words) > 1 else Label.UNCERTAIN
        return Verdict(label, Reason.PATCH_TOKEN_LEAKAGE, f"in one context only: {', '.join(sorted(words)[:5])}")

    def _ambiguous(self, case: Case) -> Verdict | None:
        pos, neg = (text_of(side.messages).split() for side in (case.pos, case.neg))
        if pos == neg:
            return Verdict(Label.INVALID, Reason.AMBIGUOUS_LABEL, "the contexts differ in layout only")
        return None

    def _decisive(self, case: Case) -> Verdict | None:
        name, function = PurePosixPath(case.path).name, case.scope.rpartition(".")[2]
        for which, side in (("supporting", case.pos), ("confounding", case.neg)):
            text = text_of(side.messages)
            if name not in text or function not in text:
                return Verdict(
                    Label.INVALID, Reason.NOT_DECISIVE, f"the {which} context never shows {name}: {function}"
                )
            if sum(message.role != "assistant" for message in side.messages) < 2:
                return Verdict(Label.UNCERTAIN, Reason.NOT_DECISIVE, f"the {which} context has fewer than 2 results")
        return None
