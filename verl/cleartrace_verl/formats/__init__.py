"""Call formats by the name `multi_turn.format` gives them. Plain text in, calls out; tokens are not known here."""

from __future__ import annotations

from collections.abc import Mapping

from cleartrace_verl.formats.harmony import HARMONY
from cleartrace_verl.formats.tagged import DEEPSEEK, HERMES, LLAMA, MISTRAL, PHI
from cleartrace_verl.formats.written import CallFormat, WrittenCall
from cleartrace_verl.formats.xml import GLM, QWEN_CODER

FORMATS: Mapping[str, CallFormat] = {
    known.name: known for known in (HERMES, HARMONY, QWEN_CODER, LLAMA, MISTRAL, DEEPSEEK, GLM, PHI)
}


def call_format(name: str) -> CallFormat:
    """Raises ValueError for a format that is not known."""
    if name not in FORMATS:
        raise ValueError(f"multi_turn.format={name!r} is not a call format of saar_agent; it knows {sorted(FORMATS)}.")
    return FORMATS[name]


__all__ = ["FORMATS", "CallFormat", "WrittenCall", "call_format"]
