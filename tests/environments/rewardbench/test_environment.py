"""RewardBench 2: reading, splitting, shuffling, judging, and the figures of the leaderboard."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cleartrace.environments.protocol import Action
from cleartrace.environments.rewardbench import RewardBench, leaderboard
from cleartrace.environments.rewardbench.answer import WrongFormat, parse
from cleartrace.environments.rewardbench.data import read, splits
from cleartrace.environments.rewardbench.environment import shown
from cleartrace.environments.rewardbench.leaderboard import TIES_WEIGHTS, task_score
from cleartrace.episodes.types import Failure, FailureKind, Outcome
from cleartrace.tools.result import Blame
from tests.environments.rewardbench import made


@pytest.fixture
def bench(tmp_path: Path) -> RewardBench:
    return RewardBench(str(made.write(tmp_path / "rb.jsonl", made.rows())))


def judge(bench: RewardBench, task: str, seed: int, text: str) -> Outcome:
    session = bench.session(task, seed)
    session.start()
    assert session.act(Action(text=text)).done
    return session.outcome()


def prefer(label: str, labels: list[str]) -> str:
    return json.dumps({"ratings": {name: 10 if name == label else 1 for name in labels}})


def test_gold_scores_one_and_an_empty_judge_does_not(bench: RewardBench) -> None:
    for task in bench.tasks():
        session = bench.session(task.id, 3)
        session.start()
        assert session.outcome().score == 0.0
        for action in bench.gold(task.id, 3):
            session.act(action)
        assert session.outcome().passed, task.id


def test_r1_an_always_first_judge_scores_one_in_n(tmp_path: Path) -> None:
    bench = RewardBench(str(made.write(tmp_path / "rb.jsonl", made.rows(singles=1200, pairs=0))))
    scores = [judge(bench, task.id, 7, prefer("1", list("1234"))).score or 0.0 for task in bench.tasks()]
    share = sum(scores) / len(scores)
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(scores))


def test_r1_correct_answers_stand_at_every_position_alike(tmp_path: Path) -> None:
    items = read(made.write(tmp_path / "rb.jsonl", made.rows(singles=500, pairs=0)))
    found = Counter(
        label for item in items for seed in range(8) for label, place in shown(item, seed).items() if not place
    )
    expected = 500 * 8 / 4
    chi_square = sum((found[label] - expected) ** 2 / expected for label in "1234")
    assert chi_square < 16.27  # the 0.999 quantile with 3 degrees of freedom


def test_r1_the_order_depends_on_task_and_seed_alone(bench: RewardBench) -> None:
    first, again = (bench.session("0", 1).start().text for _ in range(2))
    assert first == again
    assert len({bench.session("0", seed).start().text for seed in range(12)}) > 3


def test_a4_nothing_of_the_key_is_visible_to_the_judge(bench: RewardBench) -> None:
    for task in bench.tasks():
        seen = task.model_dump_json() + bench.session(task.id, 5).start().model_dump_json()
        assert not [word for word in ("canary", "model-", "chosen", "rejected", "Factuality") if word in seen]
        assert task.metadata == {}


def test_r19_a_malformed_answer_is_a_failure_to_learn_from(bench: RewardBench) -> None:
    outcome = judge(bench, "0", 1, "Answer 2 is the best one.")
    assert outcome.score == 0.0 and outcome.failure is not None
    assert outcome.failure.kind is FailureKind.FORMAT and outcome.failure.kind.blame is Blame.MODEL


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON object"),
        ('{"ratings": {"1": 3, "2": 4}}', "answer 3 has no rating"),
        ('{"ratings": {"1": 3, "2": 4, "3": 5, "4": 5}}', "no answer '4'"),
        ('{"ratings": {"1": 3, "2": 4, "3": 11}}', "not between"),
        ('{"ratings": {"1": 3, "2": 4, "3": true}}', "not a number"),
        ('{"ratings": {"1": 3, "2": 4, "3": NaN}}', "not a number"),
        ('{"ratings": {"1": 3, "2": 4, "3": "5"}}', "not a number"),
        ('{"ratings": [{"id": 1, "rating": 3}, {"id": 1, "rating": 4}]}', "rated twice"),
        ('{"ratings": [3, 4, 5]}', "neither an object nor a list"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(text: str, reason: str) -> None:
    with pytest.raises(WrongFormat, match=reason):
        parse(text, ["1", "2", "3"])


def test_a_verdict_is_found_in_prose() -> None:
    ratings = '{"ratings": [{"id": 1, "rating": 3}, {"id": "2", "rating": 7.5}]}'
    text = f"I see [three] answers. {{not json}}\n```json\n{ratings}\n```"
    assert parse(text, ["1", "2"]).ratings == {"1": 3.0, "2": 7.5}


def test_s10_a_list_of_best_answers_never_overrules_the_ratings(bench: RewardBench) -> None:
    right = next(label for label, place in shown(bench._item("0"), 1).items() if place == 0)
    wrong = next(label for label in "1234" if label != right)
    claim = json.dumps({"ratings": {label: 9 if label == wrong else 2 for label in "1234"}, "best": [right]})
    outcome = judge(bench, "0", 1, claim)
    assert outcome.score == 0.0 and outcome.details["conflict"] and "contradicts" in outcome.feedback
    assert not judge(bench, "0", 1, claim.replace(f'["{right}"]', f'["{wrong}"]')).details["conflict"]


def test_splits_are_stratified_and_keep_pairs_whole(tmp_path: Path) -> None:
    items = read(made.write(tmp_path / "rb.jsonl", made.rows(singles=300, pairs=40)))
    assigned = splits(items)
    by_subset = Counter((item.subset, assigned[item.id]) for item in items)
    assert [by_subset["Math", name] for name in ("train", "val", "test")] == [140, 30, 30]
    assert [by_subset["Ties", name] for name in ("train", "val", "test")] == [56, 12, 12]
    groups: dict[str, set[str]] = {}
    for item in items:
        groups.setdefault(item.group, set()).add(assigned[item.id])
    assert all(len(names) == 1 for names in groups.values())
    assert assigned == splits(list(reversed(items))) and assigned != splits(items, seed=43)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": []}, "line 2: chosen"),
        ({"id": "0"}, "used before"),
        ({"subset": "Ties"}, "a Ties id"),
        ({"prompt": None}, "line 2: prompt"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    first, second = made.rows(singles=2, pairs=0)
    with pytest.raises(ValueError, match=message):
        read(made.write(tmp_path / "rb.jsonl", [first, second | change]))


def test_a_missing_file_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="your copy of the data set"):
        RewardBench(str(tmp_path / "none.jsonl"))


def rated(subset: str, correct: list[float], incorrect: list[float], pair: str = "", half: str = "") -> Outcome:
    details = {"subset": subset, "pair": pair, "half": half, "correct": correct, "incorrect": incorrect}
    score = 0.0 if not correct else task_score(subset, correct, incorrect)
    failure = None if correct else Failure(kind=FailureKind.FORMAT)
    return Outcome(score=score, details=details, failure=failure)


def test_leaderboard_by_hand() -> None:
    figures = leaderboard(
        {
            "a": rated("Math", [8], [3, 2, 1]),
            "b": rated("Math", [5], [5, 2, 1]),
            "c": rated("Focus", [], []),
            "r": rated("Ties", [9], [4, 3], "1", "ref"),
            "t": rated("Ties", [9, 8], [4, 3], "1", "tied"),
            "lost": Outcome(score=None, failure=Failure(kind=FailureKind.ENGINE)),
        }
    )
    margin = math.tanh(4 / 1 - 1)
    assert figures.subsets["Math"] == 0.75 and figures.subsets["Focus"] == 0.0
    assert figures.subsets["Ties"] == pytest.approx(1.0 + 0.01 * margin)
    assert figures.score == pytest.approx((0.75 + 0.0 + 1.0 + 0.01 * margin) / 3)
    assert (figures.malformed, figures.conflicts, figures.unscored) == (1, 0, 1)
    assert figures.pairwise == pytest.approx((1 + 5 / 6 + 0 + 1 + 1) / 5)
    assert figures.prompts == pytest.approx(3 / 5)
    assert figures.counts == {"Focus": 1, "Math": 2, "Ties": 2}


def test_ties_weights_and_their_limits() -> None:
    assert sum(TIES_WEIGHTS.values()) == pytest.approx(1.01)
    best = leaderboard({"r": rated("Ties", [9], [1], "1", "ref"), "t": rated("Ties", [9, 8.9], [1], "1", "tied")})
    assert best.subsets["Ties"] == pytest.approx(1.01)
    alike = leaderboard({"r": rated("Ties", [9], [1], "1", "ref"), "t": rated("Ties", [9, 9], [1], "1", "tied")})
    assert alike.subsets["Ties"] == pytest.approx(1.0)  # no spread, no margin
    worst = leaderboard({"r": rated("Ties", [], [], "1", "ref"), "t": rated("Ties", [], [], "1", "tied")})
    assert worst.subsets["Ties"] == pytest.approx(-0.01)
    loose = leaderboard({"r": rated("Ties", [5], [4], "1", "ref"), "t": rated("Ties", [9, 6], [4], "1", "tied")})
    assert loose.ties == pytest.approx(
        {"tied_accuracy": 1, "ref_accuracy": 1, "preferred": 0, "preferred_hard": 0, "margin": math.tanh(1 / 3 - 1)}
    )


def test_figures_of_another_environment_are_refused() -> None:
    with pytest.raises(ValueError, match="not one of rewardbench"):
        leaderboard({"x": Outcome(score=1.0)})
