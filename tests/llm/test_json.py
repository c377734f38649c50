import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.llm.json import json_candidates


def values(text: str) -> list:
    return list(json_candidates(text))


def test_r14_brackets_in_the_prose_before_it_do_not_hide_the_object() -> None:
    assert values('see [abc] and {x}: {"ops": []}')[0] == {"ops": []}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Sure!\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ('{"a": 1, // why\n "b": "http://x" /* so */}', {"a": 1, "b": "http://x"}),
        ("{'a': True, 'b': None, 'c': 'it\\'s //'}", {"a": True, "b": None, "c": "it's //"}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('It\'s this: {"a": "}{"}', {"a": "}{"}),
        ('[{"op": "ADD"}]', [{"op": "ADD"}]),
    ],
)
def test_reads_what_models_write(text: str, value: object) -> None:
    assert values(text)[0] == value


def test_the_last_outermost_value_comes_first_and_inner_ones_last() -> None:
    assert values('{"draft": {"x": 1}} better: {"final": 2}') == [{"final": 2}, {"draft": {"x": 1}}, {"x": 1}]


def test_a_value_that_was_cut_off_is_not_completed() -> None:
    assert values('{"a": [1, 2], "b": "unfin') == [[1, 2]]
    assert values('{"a": "unfin') == []


def test_half_a_character_becomes_text_that_utf8_can_hold() -> None:
    (value,) = values('{"a": "\\ud83d"}')
    assert json.dumps(value, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 20_000, "[[1]," * 10_000, "{'a': " * 900 + "1" + "}" * 900])
def test_a_hostile_text_costs_seconds_at_most(text: str) -> None:
    began = time.process_time()
    values(text)
    assert time.process_time() - began < 3


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8), st.none() | st.integers() | st.lists(st.text(max_size=8), max_size=3), min_size=1
    ),
    st.text(alphabet="ab c\n.,:'x"),
)
def test_finds_any_object_behind_any_prose(value: dict, prose: str) -> None:
    assert value in values(f"{prose}\n{json.dumps(value)}")
