"""Which tokens say "A" and "B" behind a given prompt: asked of the tokenizer, never assumed (W4, W5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Tokenize = Callable[[str], list[int]]
SHOWN = 40


class LetterError(ValueError):
    """The letters cannot be told apart by one token."""


@dataclass(frozen=True)
class OptionLetters:
    """The tokens of both letters.

    Args:
        spellings: how the two letters are written behind the prompt, e.g. `((" A", " B"),)`.
        first_ids, second_ids: token ids, one for each spelling. One spelling unless variants were asked for; their
            logits are then joined by log-sum-exp, which is smooth where a maximum is not.
    """

    spellings: tuple[tuple[str, str], ...]
    first_ids: tuple[int, ...]
    second_ids: tuple[int, ...]


def next_token(tokenize: Tokenize, prompt: str, spelling: str) -> int:
    """The one token that `spelling` adds to `prompt`.

    Errors: `LetterError` when it adds none or several, or changes the tokens of the prompt.
    """
    before, after = tokenize(prompt), tokenize(prompt + spelling)
    if after[:-1] == before and len(after) == len(before) + 1:
        return after[-1]
    same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
    what = "changes tokens of the prompt" if same < len(before) else f"is {len(after) - len(before)} tokens, not one"
    raise LetterError(
        f"the option {spelling!r} {what} behind {prompt[-SHOWN:]!r}; choose other letters, or an answer_prefix that "
        "ends in a line break or another place where a letter is a token of its own"
    )


def resolve_letters(tokenize: Tokenize, prompt: str, letters: tuple[str, str], variants: bool = False) -> OptionLetters:
    """The tokens of `letters` behind `prompt`.

    Args:
        tokenize: text to ids without adding special tokens.
        prompt: ends where the answer begins. Behind a letter or a digit or a punctuation mark the option is written
            with a blank before it, elsewhere without.
        variants: take the other spelling too, where it is one token for both letters.

    Errors: `LetterError`.
    """
    if not all(letters) or letters[0] == letters[1] or any(letter != letter.strip() for letter in letters):
        raise LetterError(f"letters={list(letters)}: two different options without blanks around them are needed")
    spaced = (f" {letters[0]}", f" {letters[1]}")
    usual, other = (spaced, letters) if _wants_blank(prompt) else (letters, spaced)
    spellings, tokens = [usual], [tuple(next_token(tokenize, prompt, spelling) for spelling in usual)]
    if variants:
        try:
            tokens.append(tuple(next_token(tokenize, prompt, spelling) for spelling in other))
            spellings.append(other)
        except LetterError:
            pass  # The spelling does not exist for this tokenizer.
    first, second = tuple(pair[0] for pair in tokens), tuple(pair[1] for pair in tokens)
    if set(first) & set(second):
        raise LetterError(f"the tokenizer gives {letters[0]!r} and {letters[1]!r} the same token; choose other letters")
    return OptionLetters(tuple(spellings), first, second)


def _wants_blank(prompt: str) -> bool:
    """Special tokens end in a bracket, and what follows them is written without a blank."""
    return bool(prompt) and not prompt[-1].isspace() and prompt[-1] not in ">]｜|"
