"""Token ids that open a tool call, per tool parser and tokenizer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cleartrace.purify.boundary import CallMarkers

# Texts that begin a call. A marker that is not one added token may be tokenised differently after a newline or a
# space, so those forms are looked for too.
CALL_TEXTS: dict[str, tuple[str, ...]] = {
    "hermes": ("<tool_call>",),
    "qwen3_coder": ("<tool_call>",),
    "gpt-oss": (" to=functions.",),
    "llama3_json": ("<|python_tag|>",),
}
THINK_END = "</think>"


@lru_cache(maxsize=8)
def call_markers(tokenizer: Any, parser: str) -> CallMarkers:
    """Markers of `parser` (the value of `multi_turn.format`) under `tokenizer`.

    Raises ValueError for a parser without a known marker.
    """
    if parser not in CALL_TEXTS:
        raise ValueError(
            f"No call marker is known for multi_turn.format={parser!r}; saar_agent supports {sorted(CALL_TEXTS)}."
        )
    call = {ids for text in CALL_TEXTS[parser] for ids in _forms(tokenizer, text)}
    return CallMarkers(call=tuple(sorted(call)), think_end=tuple(sorted(_forms(tokenizer, THINK_END))))


def _forms(tokenizer: Any, text: str) -> set[tuple[int, ...]]:
    forms = set()
    for before in ("", "\n", " ", "."):
        prefix = tokenizer.encode(before, add_special_tokens=False) if before else []
        ids = tokenizer.encode(before + text, add_special_tokens=False)
        if ids[: len(prefix)] == prefix:
            forms.add(tuple(ids[len(prefix) :]))
    return forms
