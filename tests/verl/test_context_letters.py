"""Where the option letter is read, for every model family: on small stand-ins, and (slow) on the published files.

.venv/bin/python -m pytest -m slow tests/verl/test_context_letters.py
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.prefix import open_thought
from cleartrace.pairs.record import Order, Pair, PairKind
from tests.verl.templates.families import FAMILIES, REFUSED, Family, standin
from tests.verl.templates.published import PUBLISHED, Published, load

PAIR = Pair(
    id="x",
    kind=PairKind.TEXT,
    question="Colour?",
    answer="red",
    pos="It is red.",
    neg="It is grey.",
    group="g",
    source="s",
)
CHANNEL = "<|start|>assistant<|channel|>final<|message|>"


def check(family: Family, tokenizer: Any) -> None:
    """W4, W6: a letter is the next token of an answer, outside of any thought."""
    for variants in (False, True):
        encoder = PairEncoder(tokenizer, chat_template_kwargs=family.options, letter_variants=variants)
        row = encoder.encode(PAIR, Order.SUPPORTING_FIRST)
        text = encoder.text(encoder.prompt(PAIR, Order.SUPPORTING_FIRST))
        assert open_thought(text) is None
        assert (family.name == "gpt-oss") == text.endswith(CHANNEL)
        for spelling, first, second in zip(encoder.options.spellings, row.first_ids, row.second_ids, strict=True):
            for letter, token in zip(spelling, (first, second), strict=True):
                whole = tokenizer(text + letter, add_special_tokens=False)["input_ids"]
                assert list(whole) == [*row.input_ids, token]
        assert encoder.options.spellings[0] == ("A", "B")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_letters_of_stand_ins(family: Family):
    check(family, standin(family.name))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the tokenizers")
@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.family.name)
def test_letters_of_published_tokenizers(published: Published):
    check(published.family, load(published))


def test_families_that_open_a_thought_are_among_them():
    opened = {
        name
        for name, family in FAMILIES.items()
        if open_thought(PairEncoder(standin(name), chat_template_kwargs=family.options).ending)
    }
    assert {"Qwen3.6", "DeepSeek-R1"} <= opened and not opened & set(REFUSED)
