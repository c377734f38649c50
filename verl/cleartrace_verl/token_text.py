"""Bytes of single tokens. A turn's text is the bytes of its tokens, so no growing prefix is ever decoded (D4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

from cleartrace.purify.boundary import TurnText

_BYTE_LEVEL = {character: bytes([byte]) for byte, character in bytes_to_unicode().items()}
_BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_META_SPACE = "\u2581"


class TokenBytes(dict[int, bytes]):
    """Token id to bytes under one tokenizer, filled as tokens are met.

    Decoders may tidy up: some tokenizers drop a space before punctuation, which changes programs. Bytes are what
    the model wrote. Understands byte-level BPE (GPT-2 style) and SentencePiece vocabularies.
    """

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._added = {int(i): str(token) for i, token in tokenizer.added_tokens_decoder.items()}
        self._byte_level = self._has("\u0120") and not self._has("<0x0A>")

    def _has(self, token: str) -> bool:
        return self._tokenizer.convert_tokens_to_ids(token) not in (None, self._tokenizer.unk_token_id)

    def __missing__(self, token_id: int) -> bytes:
        value = self[token_id] = self._bytes(token_id)
        return value

    def turn(self, token_ids: Iterable[int]) -> TurnText:
        return TurnText(tuple(self[i] for i in token_ids))

    def _bytes(self, token_id: int) -> bytes:
        if (added := self._added.get(token_id)) is not None:
            return added.encode()
        token = self._tokenizer.convert_ids_to_tokens(int(token_id))
        if token is None:
            raise ValueError(f"token id {token_id} is not in the tokenizer's vocabulary")
        if self._byte_level:
            return b"".join(_BYTE_LEVEL[c] if c in _BYTE_LEVEL else c.encode() for c in token)
        if byte := _BYTE_FALLBACK.fullmatch(token):
            return bytes.fromhex(byte[1])
        return token.replace(_META_SPACE, " ").encode()


@lru_cache(maxsize=16)
def token_bytes(tokenizer: Any) -> TokenBytes:
    """The table of `tokenizer`, one for the whole process."""
    return TokenBytes(tokenizer)
