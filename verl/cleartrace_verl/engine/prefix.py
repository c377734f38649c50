"""Prefix reuse: KV of finished sequences, found again by the longest common prefix of token ids."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch


def common_prefix(left: np.ndarray, right: np.ndarray) -> int:
    """Number of leading token ids that two int arrays share."""
    size = min(len(left), len(right))
    different = left[:size] != right[:size]
    return int(different.argmax()) if different.any() else size


@dataclass(frozen=True)
class Entry:
    """An idle sequence: `tokens` int32 [n] and their `kv` [layers, 2, kv_heads, n, head_dim]."""

    tokens: np.ndarray
    kv: torch.Tensor

    @property
    def size(self) -> int:
        """Bytes of the KV held."""
        return self.kv.numel() * self.kv.element_size()


class PrefixStore:
    """Idle KV under a byte budget, least recently used out first.

    An entry is only ever read up to the prefix it shares with a new prompt, so what was dropped from a history
    (a rolled back turn) cannot be attended to again.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.bytes = budget, 0
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    def match(self, tokens: np.ndarray) -> tuple[Entry | None, int]:
        """The entry that shares the longest prefix with `tokens`, and that length (None, 0 without any)."""
        best, length = None, 0
        if not len(tokens):
            return None, 0
        for key, entry in self._entries.items():
            # To win, an entry must agree at the first position past the best one: one comparison spares most full ones.
            if len(entry.tokens) <= length or entry.tokens[length] != tokens[length]:
                continue
            shared = common_prefix(entry.tokens, tokens)
            if shared > length:
                best, length = key, shared
                if shared == len(tokens):
                    break
        if best is None:
            return None, 0
        self._entries.move_to_end(best)
        return self._entries[best], length

    def wants(self, tokens: np.ndarray, size: int) -> bool:
        """False when KV of `size` bytes for `tokens` would not fit or is already held."""
        if size > self.budget or not len(tokens):
            return False
        return self.match(tokens)[1] < len(tokens)

    def put(self, entry: Entry) -> None:
        """Keep `entry`, drop those it continues, then the least recently used ones beyond the budget."""
        if entry.size > self.budget:
            return
        for key, old in list(self._entries.items()):
            if len(old.tokens) <= len(entry.tokens) and common_prefix(old.tokens, entry.tokens) == len(old.tokens):
                self._drop(key)
        self._entries[self._next] = entry
        self._next += 1
        self.bytes += entry.size
        while self.bytes > self.budget:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0

    def _drop(self, key: int) -> None:
        self.bytes -= self._entries.pop(key).size
