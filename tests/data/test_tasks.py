"""Task families, splits and pools."""

from __future__ import annotations

import contextlib
import io
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.data.tasks import FAMILIES, Split, draw_task, generate_tasks, split_of, task_stream


def printed(program: str) -> str:
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        exec(program, {})
    return stdout.getvalue()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_reference_programs_print_the_answer(family: str, level: int) -> None:
    rng = Random(f"{family}/{level}")
    for _ in range(25):
        task = FAMILIES[family](rng, level)
        assert task.family == family
        assert [printed(program) for program in task.programs] == [f"{task.answer}\n"] * len(task.programs)


def test_pool_is_a_function_of_its_arguments() -> None:
    assert generate_tasks(40, 3, Split.TRAIN) == generate_tasks(40, 3, Split.TRAIN)
    assert generate_tasks(40, 3, Split.TRAIN) != generate_tasks(40, 4, Split.TRAIN)


@settings(max_examples=15, deadline=None)
@given(train_seed=st.integers(0, 10**6), val_seed=st.integers(0, 10**6), level=st.sampled_from([1, 2, 3]))
def test_no_seed_lets_a_held_out_question_into_training(train_seed: int, val_seed: int, level: int) -> None:
    train = [task.question for task in generate_tasks(120, train_seed, Split.TRAIN, level)]
    held_out = [task.question for task in generate_tasks(60, val_seed, Split.HELD_OUT, level)]
    assert len(set(train)) == 120 and len(set(held_out)) == 60
    assert not set(train) & set(held_out)


def test_stream_keeps_to_its_split() -> None:
    stream = task_stream(5, Split.TRAIN, level=1, families=("letter_count",))
    assert {split_of(next(stream).question) for _ in range(200)} == {Split.TRAIN}


def test_held_out_share_is_about_a_fifth() -> None:
    rng = Random(0)
    splits = [FAMILIES["product"](rng, 3).split for _ in range(2000)]
    assert 0.15 < splits.count(Split.HELD_OUT) / 2000 < 0.25


def test_every_family_comes_in_equal_shares() -> None:
    families = [task.family for task in generate_tasks(24, 0, Split.HELD_OUT)]
    assert {families.count(name) for name in FAMILIES} == {2}


def test_a_used_up_family_is_an_error() -> None:
    with pytest.raises(ValueError, match="distinct val questions"):
        generate_tasks(10_000, 0, Split.HELD_OUT, level=1, families=("two_operands",))


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(ValueError, match="primes.*known: spend"):
        draw_task(Random(0), Split.TRAIN, families=("primes",))
