"""Numbers of a probe for readers that choose by a known rule, and the two controls."""

from __future__ import annotations

import math

import pytest
from make_probe import RuleReader, looks_at_contexts_alone, reads_the_answer, text_pairs

from cleartrace.evaluate.stats import wilson_interval
from cleartrace.pairs.record import Order, Pair
from cleartrace.probe.answer import Answer
from cleartrace.probe.ask import Ask, asks
from cleartrace.probe.manifest import select
from cleartrace.probe.names import Arm, Status
from cleartrace.probe.summary import NothingAnswered, Summary, summarise


def probe(reader: RuleReader, pairs: list[Pair], per_kind: int = 200) -> Summary:
    manifest, sampled = select(pairs, per_kind=per_kind)
    asked = asks(sampled, pairs)
    unique = list({ask.key: ask for ask in asked}.values())
    return summarise(manifest, asked, {answer.prompt: answer for answer in reader.answer(unique)})


def control(summary: Summary, arm: Arm):
    return next(control for control in summary.controls if control.name is arm)


def test_a_model_that_reads_is_right_and_its_controls_hold() -> None:
    summary = probe(RuleReader(reads_the_answer), text_pairs(40))
    whole = summary.overall
    assert (whole.n, whole.first.value, whole.averaged.value, whole.consistency.value) == (40, 1, 1, 1)
    assert (whole.averaged.low, whole.averaged.high) == wilson_interval(40, 40)
    assert (whole.first_letter, whole.bias, whole.margin) == (0.5, 0, 2)
    blind, swapped = control(summary, Arm.BLIND), control(summary, Arm.SWAPPED)
    assert blind.accuracy is not None and blind.accuracy.value == 0.5 and blind.holds
    assert swapped.accuracy is not None and (swapped.accuracy.value, swapped.expected) == (0, 0) and swapped.holds
    assert swapped.changed is not None and swapped.changed.value == 1


def test_a_model_that_always_says_the_first_letter_has_a_position_bias() -> None:
    whole = probe(RuleReader(lambda ask: "A"), text_pairs(40)).overall
    assert (whole.first.value, whole.averaged.value, whole.consistency.value) == (0.5, 0.5, 0)
    assert (whole.first_letter, whole.bias, whole.margin) == (1, 2, 0)
    assert whole.debiased is not None and whole.debiased.value == 0.5  # a tie counts half


def test_a_context_only_model_is_at_chance_and_the_swapped_control_shows_it() -> None:
    """W2: both directions are asked, so that a rule on contexts alone scores one half."""
    summary = probe(RuleReader(looks_at_contexts_alone), text_pairs(40))
    swapped = control(summary, Arm.SWAPPED)
    assert summary.overall.averaged.value == 0.5 and summary.overall.consistency.value == 1
    assert swapped.changed is not None and swapped.changed.value == 0


def test_debiasing_finds_what_a_constant_bias_hides() -> None:
    """Spec 5.3: the mean of both orders' margins cancels a constant."""

    def biased(ask: Ask) -> float:
        return 3.0 + (2.0 if ask.correct == "A" else -2.0)

    pairs = text_pairs(20)
    manifest, sampled = select(pairs)
    asked = asks(sampled, pairs, controls=False)
    answers = {
        ask.key: Answer(
            prompt=ask.key, pair_id=ask.pair_id, arm=ask.arm, order=ask.order.value, status=Status.ANSWERED,
            letter="A", margin=biased(ask),
        )
        for ask in asked
    }  # fmt: skip
    whole = summarise(manifest, asked, answers).overall
    assert whole.averaged.value == 0.5 and whole.debiased is not None and whole.debiased.value == 1
    assert whole.bias == 3 and whole.margin == 2


def test_a_prompt_that_serves_twice_is_asked_once() -> None:
    """Both blind orders are one prompt, and a swapped pair is its other direction: 40 pairs are 80 + 40 prompts."""
    reader = RuleReader(reads_the_answer)
    probe(reader, text_pairs(40))
    assert len(reader.asked) == len(set(reader.asked)) == 80 + 40


def test_a_pair_without_its_other_direction_has_no_swapped_control() -> None:
    pairs = [pair for pair in text_pairs(20) if pair.id.endswith("+")]
    swapped = control(probe(RuleReader(reads_the_answer), pairs), Arm.SWAPPED)
    assert (swapped.accuracy, swapped.expected, swapped.holds, swapped.skipped) == (None, None, None, 10)


def test_the_other_direction_may_lie_outside_the_sample() -> None:
    pairs = text_pairs(20)
    manifest, sampled = select([pair for pair in pairs if pair.id.endswith("+")])
    assert sum(ask.arm is Arm.SWAPPED for ask in asks(sampled, pairs)) == 2 * len(manifest.rows)


def test_no_letter_is_wrong_and_counted() -> None:
    whole = probe(RuleReader(lambda ask: ""), text_pairs(10)).overall
    assert (whole.averaged.value, whole.invalid, whole.first_letter, whole.consistency.value) == (0, 20, None, 0)


def test_w14_a_pair_that_is_too_long_leaves_every_score_and_is_counted() -> None:
    pairs = text_pairs(10)
    manifest, sampled = select(pairs)
    asked = asks(sampled, pairs)
    answers = {answer.prompt: answer for answer in RuleReader(reads_the_answer).answer(asked)}
    long = next(ask for ask in asked if ask.arm is Arm.PLAIN and ask.pair_id == "foxes-0+")
    answers[long.key] = answers[long.key].model_copy(update={"status": Status.TOO_LONG, "letter": "", "margin": None})
    summary = summarise(manifest, asked, answers)
    assert (summary.overall.n, summary.too_long, summary.overall.averaged.value) == (9, 1, 1)


def test_missing_answers_are_counted_and_none_is_an_error() -> None:
    pairs = text_pairs(4)
    manifest, sampled = select(pairs)
    asked = asks(sampled, pairs, controls=False)
    answers = {answer.prompt: answer for answer in RuleReader(reads_the_answer).answer(asked[:3])}
    summary = summarise(manifest, asked, answers)
    assert (summary.overall.n, summary.missing) == (1, 5)
    with pytest.raises(NothingAnswered, match="of 4 pairs none"):
        summarise(manifest, asked, {})


def test_kinds_and_sources_have_their_own_lines() -> None:
    pairs = [*text_pairs(10, source="foxes"), *text_pairs(6, source="hens")]
    summary = probe(RuleReader(reads_the_answer), pairs)
    assert [(score.name, score.n) for score in summary.sources] == [("foxes", 10), ("hens", 6)]
    assert [(score.name, score.n) for score in summary.kinds] == [("text", 16)]
    assert math.isclose(summary.overall.averaged.low, wilson_interval(16, 16)[0])


def test_200_pairs_at_chance_have_an_interval_of_7_points() -> None:
    """Spec 8: plus and minus 6.9 points at 50 %, about 2 at 98 %."""
    whole = probe(RuleReader(lambda ask: "A"), text_pairs(200)).overall
    assert whole.averaged.high - 0.5 == pytest.approx(0.069, abs=0.0005)
    low, high = wilson_interval(196, 200)
    assert high - low == pytest.approx(0.04, abs=0.003)


def test_the_correct_letter_is_the_one_of_the_renderer() -> None:
    pair = text_pairs(1)[0]
    plain = {ask.order: ask for ask in asks([pair], [pair], controls=False)}
    assert (plain[Order.SUPPORTING_FIRST].correct, plain[Order.CONFOUNDING_FIRST].correct) == ("A", "B")
