"""Option letters on real tokenizers (W4), one spelling or a smooth join of two (W5)."""

from __future__ import annotations

import math

import pytest

from cleartrace.pairs.letters import LetterError, next_token, resolve_letters
from tests.pairs.samples import blank_first, byte_level, shipped, smollm2

END = "<|im_end|>\n<|im_start|>assistant\n"


def tokenize_with(tokenizer):
    return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("make", [shipped, byte_level, smollm2])
def test_w4_letters_are_asked_of_the_tokenizer(make):
    tokenizer = make()
    tokenize = tokenize_with(tokenizer)
    prompt = "Reply with A or B." + END
    found = resolve_letters(tokenize, prompt, ("A", "B"))
    assert found.spellings == (("A", "B"),)
    for ids, letter in ((found.first_ids, "A"), (found.second_ids, "B")):
        assert tokenizer.decode(ids) == letter
        assert tokenize(prompt + letter) == [*tokenize(prompt), *ids]


def test_w4_the_same_letter_is_another_token_elsewhere():
    """Why ids cannot be written down: 32 and 33 are right for Qwen and a byte-level vocabulary only."""
    ids = {resolve_letters(tokenize_with(make()), END, ("A", "B")).first_ids for make in (smollm2, byte_level)}
    assert len(ids) == 2


def test_w4_a_letter_of_two_tokens_is_refused():
    with pytest.raises(LetterError, match="the option ' A' is 2 tokens.*choose other letters, or an answer_prefix"):
        resolve_letters(tokenize_with(blank_first()), "red fox", ("A", "B"))


def test_w4_a_letter_that_joins_the_prompt_is_refused():
    def tokenize(text: str) -> list[int]:
        return [len(word) for word in text.split("-")]

    with pytest.raises(LetterError, match="changes tokens of the prompt"):
        next_token(tokenize, "ab-c", "D")


def test_w4_letters_of_one_token_are_refused():
    with pytest.raises(LetterError, match="the same token"):
        resolve_letters(lambda text: [0] * len(text), END, ("A", "B"))


@pytest.mark.parametrize("letters", [("A", "A"), ("", "B"), (" A", "B")])
def test_letters_must_be_two(letters):
    with pytest.raises(LetterError, match="two different options"):
        resolve_letters(tokenize_with(byte_level()), END, letters)


def test_behind_a_word_the_letter_has_a_blank():
    tokenizer = smollm2()
    found = resolve_letters(tokenize_with(tokenizer), END + "The correct option is", ("A", "B"))
    assert found.spellings == ((" A", " B"),) and tokenizer.decode(found.second_ids) == " B"


def test_w5_one_spelling_unless_both_are_asked_for():
    tokenize = tokenize_with(smollm2())
    one, both = (resolve_letters(tokenize, END, ("A", "B"), variants=variants) for variants in (False, True))
    assert len(one.first_ids) == 1 and both.first_ids[:1] == one.first_ids
    assert both.spellings == (("A", "B"), (" A", " B")) and len(set(both.first_ids + both.second_ids)) == 4
    # A spelling that a tokenizer does not have as one token is left out.
    assert resolve_letters(tokenize_with(byte_level()), END, ("A", "B"), variants=True).spellings == (("A", "B"),)


def test_w5_the_join_of_spellings_is_smooth_at_the_tie():
    """d logsumexp / d logit is 1/2 for both spellings at a tie, where a maximum jumps from 0 to 1."""

    def joined(gap: float) -> float:
        return math.log(math.exp(gap) + 1.0)

    h = 1e-4
    left, right = (joined(0) - joined(-h)) / h, (joined(h) - joined(0)) / h
    assert left == pytest.approx(right, abs=1e-3) and left == pytest.approx(0.5, abs=1e-3)
