"""Where a call begins (D4): in text that knows thoughts, and back in tokens."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.purify.boundary import Thought, TurnText, alternatives, first_call

CALL, END = alternatives(["<call>"]), alternatives(["</call>"])


def start_of(text: str, **options) -> int | None:
    found = first_call(text, CALL, END, **{"thought": Thought(), **options})
    return found.start() if found else None


def cpu_seconds(repeat: int, run: Callable[[], object]) -> float:
    times = []
    for _ in range(repeat):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no call", None),
        ("a <call> b", "<call> b"),
        ("<think>a <call> b</think> c <call>d", "<call>d"),
        ("<think>a <call>b</call></think>", None),
        ("<think>never closed <call>", None),
        ("said <think>later <call> and not closed", None),
        ("said <think>x</think> <think>y <call></think> <call>z", "<call>z"),
        # A thought that was closed without having been opened.
        ("a <call> b</think> c <call>d", "<call>d"),
        ("a <call>b</call> c</think> <call>d</call>", "<call>d</call>"),
        ("a <call> b</think> done", None),
        # A tag inside a call is the program's.
        ("<call>print('</think>')</call>", "<call>print('</think>')</call>"),
        ("<call>a</call> <call>print('</think>')</call>", "<call>a</call> <call>print('</think>')</call>"),
        ("<call>print('<think>')</call>", "<call>print('<think>')</call>"),
    ],
)
def test_d4_a_marker_inside_a_thought_is_no_call(text, expected):
    start = start_of(text)
    assert (None if start is None else text[start:]) == expected


def test_a_thought_opened_by_the_prompt():
    text = "a <call> b</think> <call>c</call>"
    assert start_of(text, in_thought=True) == text.rindex("<call>")
    assert start_of("a <call> b</call>", in_thought=True) is None
    assert start_of("<call>a</call>", in_thought=False) == 0


def test_without_thoughts_every_marker_counts():
    assert start_of("<think> <call>", thought=None) == 8


def test_the_earliest_of_several_markers():
    found = first_call("a [B] <call>", alternatives(["<call>", "[B]"]))
    assert found and found[0] == "[B]"


def test_d4_a_marker_of_three_tokens_in_any_tokenisation():
    for parts in [("So ", "<ca", "ll", ">x"), ("So", " <", "call", ">", "x"), ("So <call>x",)]:
        turn = TurnText(tuple(part.encode() for part in parts))
        start = first_call(turn.text, CALL).start()
        token = turn.token_at(start)
        before = "".join(parts[:token])
        assert len(before) <= start < len(before + parts[token])


@given(st.text(max_size=40), st.lists(st.integers(0, 120), max_size=12))
def test_token_at_is_the_token_with_the_first_byte(text, cuts):
    data = text.encode()
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    turn = TurnText(tuple(data[a:b] for a, b in zip(places, places[1:], strict=False)))
    assert turn.text == text
    for offset in range(len(text)):
        first_byte = len(text[:offset].encode())
        token = turn.token_at(offset)
        assert places[token] <= first_byte < places[token + 1]


def test_a_turn_cut_inside_a_character_keeps_its_bytes():
    turn = TurnText(("né ".encode()[:2], b"<call>"))
    assert turn.token_at(turn.text.index("<call>")) == 1
    assert turn.text.encode("utf-8", "surrogateescape") == b"n\xc3<call>"
    with pytest.raises(IndexError, match="character 99"):
        turn.token_at(99)


def test_d4_an_8k_turn_takes_under_5_ms():
    parts = (b"word ", b"<thi", b"nk> ", b"x") * 2000 + (b"</think>", b"<ca", b"ll>", b"{}")

    def find() -> int:
        turn = TurnText(parts)
        found = first_call(turn.text, CALL, END, thought=Thought())
        assert found is not None
        return turn.token_at(found.start())

    assert find() == 8001
    assert cpu_seconds(5, find) < 0.005


@pytest.mark.parametrize(
    "piece", ["<call>", "<call></think>", "<call></call>", "<think></think><call></call>", "</think>"]
)
def test_d4_no_text_makes_the_search_quadratic(piece):
    def seconds(n: int) -> float:
        text = piece * n
        return cpu_seconds(3, lambda: first_call(text, CALL, END, thought=Thought()))

    assert seconds(16_000) < 8 * max(seconds(4_000), 1e-3)


def test_alternatives_are_literal_texts():
    assert alternatives(["[A]", "b|c"]) == re.compile(r"\[A\]|b\|c")
