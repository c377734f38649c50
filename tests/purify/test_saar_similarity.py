"""Similarity (D2, D3) and the call boundary (D4)."""

import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.purify.config import SaarConfig
from cleartrace.purify.similarity import Method, normalise_code, similarity
from cleartrace.purify.splice import SpliceInput, SpliceKind, similarity_splice
from cleartrace.purify.turn import sampled_turn

A, B = "print(2**10)", "import sympy"


def wrap(code):
    call = json.dumps({"name": "code_interpreter", "arguments": {"code": code}})
    return f"<tool_call>\n{call}\n</tool_call><|im_end|>"


def turn(code, attempt):
    return sampled_turn([1], [2, 3], None, 1, position=0, attempt=attempt, code=code, call_text=wrap(code))


@pytest.mark.parametrize(("basis", "kind"), [("code", SpliceKind.REPLACE), ("wrapped", SpliceKind.GRAFT)])
def test_d2_unrelated_one_liners(basis, kind):
    given_turns = SpliceInput(turn(A, 0), turn(A, 0), turn(B, 1))
    assert similarity_splice(given_turns, SaarConfig(basis=basis)).kind is kind


def test_d2_wrapped_basis_without_text_is_an_error():
    bare = sampled_turn([1], [2, 3], None, 1, position=0, code=A)
    with pytest.raises(ValueError, match="call_text"):
        similarity_splice(SpliceInput(bare, bare, bare), SaarConfig(basis="wrapped"))


def test_turn_that_cannot_be_split_is_replaced():
    whole = sampled_turn([1], [2, 3], None, None, position=0, code=A)
    splice = similarity_splice(SpliceInput(whole, whole, turn(A, 1)), SaarConfig())
    assert splice.kind is SpliceKind.REPLACE and splice.similarity is None


@given(st.text("ab\n ", max_size=60), st.text("ab\n ", max_size=60))
def test_d3_symmetric_and_in_range(a, b):
    s = similarity(a, b)
    assert s == similarity(b, a) and 0.0 <= s.value <= 1.0
    assert similarity(a, a).value == 1.0


@given(st.text("abc", max_size=60), st.text("abc", max_size=60), st.floats(0, 1))
def test_d3_bound_never_changes_the_decision(a, b, gamma):
    assert (similarity(a, b, threshold=gamma).value >= gamma) == (similarity(a, b).value >= gamma)


def cpu_seconds(n, work):
    """Least CPU time of `n` trials: other programs on the machine hardly change it."""

    def once():
        start = time.thread_time()
        work()
        return time.thread_time() - start

    return min(once() for _ in range(n))


def test_d3_50k_pair_takes_the_fallback_quickly():
    rng = random.Random(0)
    a = "".join(rng.choices("abcdefgh (),=\n", k=50_000))
    b = a[:20_000] + "x" + a[20_000:-1]
    assert similarity(a, b).method is Method.GRAMS and similarity(a, b).value > 0.99
    assert cpu_seconds(5, lambda: similarity(a, b, threshold=0.5)) < 0.5  # 0.065 s measured on a quiet machine


def test_d3_popular_characters_do_not_explode():
    assert cpu_seconds(3, lambda: similarity("\n" * 50_000, "\n" * 40_000)) < 0.5


def test_normalise_code():
    assert normalise_code("a = 1  \r\nb\t\rc\n\n") == "a = 1\nb\nc"
