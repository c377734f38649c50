"""A tokenizer made for copying.

A number or word is the same token wherever it stands: no space is merged into a word, digits come in pairs from
the left, and known words are taken whole. Everything else falls back to single bytes, so any text survives
encode and decode exactly. A small model then copies by attention, without learning a mapping between spellings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CONTROL = (PAD, START, END)
TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
ROLES = ("system", "user", "assistant", "tool")
PHRASES = (
    '{"name": "code_interpreter", "arguments": {"code": "',
    '"}}',
    "\\n",
    '\\"',
    "Answer: \\boxed{",
    "Use Python. Put the answer in \\boxed{}.",
    "Tool call success",
    "Tool call failure",
    "reason:",
    "stdout: ",
    "stderr: ",
    "How many ",
    " are there?",
    " at line ",
    " is not defined",
    ". Did you mean: ",
    "unterminated string literal (detected",
    " was never closed",
    "can only concatenate str (not ",
    ") to str",
    "    ",
    " += ",
    " // ",
    " + ",
    " - ",
    " * ",
    " % ",
    " = ",
    ", ",
    "[::-1]",
    "print(",
)
MIN_WORD_COUNT = 5


def words_of(texts: Iterable[str]) -> list[str]:
    """Words of two letters or more that occur at least `MIN_WORD_COUNT` times, in alphabetical order."""
    counts: Counter[str] = Counter()
    for text in texts:
        for phrase in (*TAGS, *CONTROL, *PHRASES):
            text = text.replace(phrase, "\0")
        counts.update(re.findall(r"[A-Za-z]{2,}", text))
    return sorted(word for word, count in counts.items() if count >= MIN_WORD_COUNT)


def build_tokenizer(texts: Iterable[str], chat_template: str) -> PreTrainedTokenizerFast:
    """A tokenizer whose whole words are those of `texts`."""
    whole = [*PHRASES, *(f"{pair:02d}" for pair in range(100)), *ROLES, *words_of(texts)]
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    spelled = [spell.pre_tokenize_str(piece)[0][0] for piece in whole]
    pieces = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *spelled])
    core = Tokenizer(BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], ignore_merges=True))
    longest_first = sorted(PHRASES, key=len, reverse=True)
    pattern = "|".join([*map(re.escape, longest_first), r"[0-9]{2}", r"[0-9]", r"[A-Za-z]+", r"\s", r"[!-/:-@\[-`{-~]"])
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), spell])
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROL])
    core.add_tokens([AddedToken(text, special=False, normalized=False) for text in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
        chat_template=chat_template,
    )


def token_id(tokenizer: Any, token: str) -> int:
    """Id of one known token."""
    return tokenizer.convert_tokens_to_ids(token)


def chat_ids(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool = False) -> list[int]:
    """Token ids of rendered messages."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
    return tokenizer(text, add_special_tokens=False).input_ids


def chat_template() -> str:
    """The append-only ChatML template with a tool role."""
    return (Path(__file__).parent / "chat_template.jinja").read_text()
