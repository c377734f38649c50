"""What an agent answers may be the program's own word: a typed record or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_judge.sandbox.answers import Answer, Malformed, Status

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NUMBERS = ("line", "exit_code", "pid")
NAMES = ("status", "error_class", "message", *NUMBERS, "cpu_s", "value")


def test_an_honest_answer() -> None:
    said = {
        "status": "error",
        "error_class": "KeyError",
        "message": "'a'",
        "line": 3,
        "bases": ["KeyError"],
        "cpu_s": 1,
    }
    assert Answer.of(said) == Answer(Status.ERROR, "KeyError", "'a'", 3, cpu_s=1.0)
    assert Answer.of({"status": "ok", "pid": 7, "value": [1]}) == Answer(Status.OK, pid=7, value=[1])


@pytest.mark.parametrize(
    "said",
    [
        None, [], "ok", {}, {"status": 1}, {"status": "infra_error"}, {"status": []},
        *({"status": "error", "error_class": value} for value in ([1], 5, {}, True)),
        *({"status": "error", "message": value} for value in (["x"], 0)),
        *({"status": "ok", name: value} for name in NUMBERS for value in ("x", 1.5, True, -1, 1 << 31)),
        *({"status": "ok", "cpu_s": value} for value in ("x", None, -1, 1e9, float("nan"), float("inf"), True)),
    ],
)  # fmt: skip
def test_anything_else_is_none(said: Any) -> None:
    with pytest.raises(Malformed):
        Answer.of(said)


def test_texts_are_cut_and_can_be_sent() -> None:
    answer = Answer.of({"status": "error", "error_class": "E" * 9000, "message": "\ud800" + "x" * 4_000_000})
    assert answer.error_class == "E" * 200
    assert answer.message == "?" + "x" * 1999


@given(st.fixed_dictionaries({}, optional={name: JSON for name in NAMES}) | JSON)
def test_whatever_is_said_is_a_record_or_malformed(said: Any) -> None:
    try:
        answer = Answer.of(said)
    except Malformed:
        return
    texts = (answer.error_class or "") + (answer.message or "")
    assert len(texts.encode()) <= 4 * 2200
    assert all(
        isinstance(n, int) and 0 <= n < 1 << 31 for n in (answer.line, answer.exit_code, answer.pid) if n is not None
    )
