"""From answers to numbers: how often the supporting context is chosen, and what else could explain it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from cleartrace.evaluate.stats import wilson_interval
from cleartrace.pairs.record import Order
from cleartrace.probe.answer import Answer
from cleartrace.probe.ask import Ask
from cleartrace.probe.manifest import Manifest, Row
from cleartrace.probe.names import Arm, Status

ALL = "all"


@dataclass(frozen=True)
class Share:
    """A share with its 95 % Wilson interval; `n` pairs."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, credits: Sequence[float]) -> Share:
        """From one credit in [0, 1] per pair. Raises ValueError when there is none."""
        if not credits:
            raise ValueError("a share of no pairs is undefined")
        low, high = wilson_interval(sum(credits), len(credits))
        return cls(fmean(credits), low, high, len(credits))


@dataclass(frozen=True)
class Score:
    """Plain answers over a set of pairs.

    Args:
        first: accuracy in the first order alone, as the paper counts.
        averaged: accuracy over both orders.
        debiased: share with a positive mean of both orders' margins, which cancels a constant preference for a
            letter; a mean of zero counts half, as coarse logits often give one. None without margins.
        consistency: share of pairs for which both orders choose the same context.
        first_letter: share of the given letters that are the first one; 0.5 without position bias.
        bias: mean log-odds of the first letter over both orders, in nats; 0 without position bias.
        margin: mean log-odds of the supporting against the confounding context, in nats.
        mass: mean joint probability of the two letters.
        invalid, refused: asks, of 2 n, without a letter; they count as wrong.
    """

    name: str
    n: int
    first: Share
    averaged: Share
    debiased: Share | None
    consistency: Share
    first_letter: float | None
    bias: float | None
    margin: float | None
    mass: float | None
    invalid: int
    refused: int


@dataclass(frozen=True)
class Control:
    """A control: accuracy where the model can not, or must not, be right.

    Args:
        expected: 0.5 for the blind control; for the swapped one, 1 - accuracy of the same pairs.
        skipped: pairs without it.
        changed: share of asks in which the swapped answer changes the choice: 1 for a model that reads the answer, 0
            for one that looks at the contexts alone.
    """

    name: Arm
    accuracy: Share | None
    expected: float | None
    skipped: int
    changed: Share | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the expected value lies in the interval; None when nothing was asked."""
        if self.accuracy is None or self.expected is None:
            return None
        return self.accuracy.low <= self.expected <= self.accuracy.high


@dataclass(frozen=True)
class Summary:
    """What a probe says. `too_long`: pairs left out of everything; `missing`: asks without an answer yet."""

    overall: Score
    kinds: tuple[Score, ...]
    sources: tuple[Score, ...]
    controls: tuple[Control, ...]
    too_long: int
    missing: int

    def as_dict(self) -> dict[str, Any]:
        fields = asdict(self)
        for control, done in zip(fields["controls"], self.controls, strict=True):
            control |= {"name": done.name.value, "holds": done.holds}
        return fields


@dataclass(frozen=True)
class _Outcome:
    """One ask with its answer, in terms of contexts. `margin`: supporting against confounding."""

    correct: bool
    first_letter: bool | None
    margin: float | None
    letter_margin: float | None
    mass: float | None
    status: Status


Outcomes = dict[str, dict[Order, _Outcome]]


class NothingAnswered(ValueError):
    """No pair has both its answers."""


def summarise(manifest: Manifest, asked: Iterable[Ask], answers: Mapping[str, Answer]) -> Summary:
    """Score a probe; a pair counts when both its orders are answered.

    Raises:
        NothingAnswered: no pair does.
    """
    by_arm: dict[Arm, Outcomes] = {arm: {} for arm in Arm}
    long: set[str] = set()
    missing = 0
    for ask in asked:
        answer = answers.get(ask.key)
        if answer is None:
            missing += 1
        elif answer.status is Status.TOO_LONG:
            if ask.arm is Arm.PLAIN:
                long.add(ask.pair_id)
        else:
            by_arm[ask.arm].setdefault(ask.pair_id, {})[ask.order] = _outcome(ask, answer)
    plain = _whole(by_arm[Arm.PLAIN], long)
    rows = [row for row in manifest.rows if row.id in plain]
    if not rows:
        raise NothingAnswered(
            f"of {len(manifest.rows)} pairs none was answered in both orders; {len(long)} are too long"
        )
    blind, swapped = (_whole(by_arm[arm], long) for arm in (Arm.BLIND, Arm.SWAPPED))
    return Summary(
        overall=_score(ALL, rows, plain),
        kinds=tuple(_score(name, mine, plain) for name, mine in _grouped(rows, "kind").items()),
        sources=tuple(_score(name, mine, plain) for name, mine in _grouped(rows, "source").items()),
        controls=(_blind_control(rows, blind), _swapped_control(rows, plain, swapped)),
        too_long=len(long),
        missing=missing,
    )


def _outcome(ask: Ask, answer: Answer) -> _Outcome:
    supporting_first = ask.correct == ask.letters[0]
    margin = answer.margin if answer.margin is None or supporting_first else -answer.margin
    chosen = answer.letter if answer.status is Status.ANSWERED else ""
    return _Outcome(
        correct=chosen == ask.correct,
        first_letter=chosen == ask.letters[0] if chosen else None,
        margin=margin,
        letter_margin=answer.margin,
        mass=answer.mass,
        status=answer.status,
    )


def _whole(outcomes: Outcomes, long: set[str]) -> Outcomes:
    return {pair: both for pair, both in outcomes.items() if len(both) == len(Order) and pair not in long}


def _grouped(rows: Sequence[Row], field: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        value = getattr(row, field)
        groups.setdefault(getattr(value, "value", value), []).append(row)
    return dict(sorted(groups.items()))


def _score(name: str, rows: Sequence[Row], outcomes: Outcomes) -> Score:
    both = [tuple(outcomes[row.id].values()) for row in rows]
    every = [one for pair in both for one in pair]
    letters = [one.first_letter for one in every if one.first_letter is not None]
    margins = [_mean(one.margin for one in pair) for pair in both]
    known = [margin for margin in margins if margin is not None]
    return Score(
        name=name,
        n=len(rows),
        first=Share.of([float(outcomes[row.id][row.first_order].correct) for row in rows]),
        averaged=Share.of([fmean(one.correct for one in pair) for pair in both]),
        debiased=Share.of([_positive(margin) for margin in known]) if len(known) == len(rows) else None,
        consistency=Share.of([float(_same_context(*pair)) for pair in both]),
        first_letter=fmean(letters) if letters else None,
        bias=_mean(one.letter_margin for one in every),
        margin=_mean(one.margin for one in every),
        mass=_mean(one.mass for one in every),
        invalid=sum(one.status is Status.INVALID for one in every),
        refused=sum(one.status is Status.REFUSED for one in every),
    )


def _positive(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def _same_context(first: _Outcome, second: _Outcome) -> bool:
    """Both orders gave a letter, and the letters stand for one context."""
    given = first.first_letter is not None and second.first_letter is not None
    return given and first.correct == second.correct


def _blind_control(rows: Sequence[Row], blind: Outcomes) -> Control:
    """In the first order only: both orders are one prompt, so that their average is one half whatever is said."""
    asked = [row for row in rows if row.id in blind]
    credits = [float(blind[row.id][row.first_order].correct) for row in asked]
    return Control(Arm.BLIND, Share.of(credits) if credits else None, 0.5, len(rows) - len(asked))


def _swapped_control(rows: Sequence[Row], plain: Outcomes, swapped: Outcomes) -> Control:
    asked = [row.id for row in rows if row.id in swapped]
    skipped = len(rows) - len(asked)
    if not asked:
        return Control(Arm.SWAPPED, None, None, skipped)
    credits, before = (
        [fmean(one.correct for one in side[pair].values()) for pair in asked] for side in (swapped, plain)
    )
    changed = [fmean(_changed(plain[pair][order], swapped[pair][order]) for order in Order) for pair in asked]
    return Control(Arm.SWAPPED, Share.of(credits), 1 - fmean(before), skipped, Share.of(changed))


def _changed(before: _Outcome, after: _Outcome) -> bool:
    """Both times a letter was given, in one order, and it is another one."""
    return None not in (before.first_letter, after.first_letter) and before.first_letter != after.first_letter


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    numbers = [value for value in known if value is not None]
    return fmean(numbers) if numbers and len(numbers) == len(known) else None
