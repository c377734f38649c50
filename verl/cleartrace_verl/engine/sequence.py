"""One request on its way through the engine, and the batch that a step computes."""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

import numpy as np
import torch

from .config import Finish, Generation, Sampling
from .model import Batch, Chunk


@dataclass(eq=False)
class Sequence:
    """A request. `tokens`: prompt then output. `computed`: how many of them have their KV in `slot`."""

    request_id: str
    prompt: np.ndarray
    tokens: list[int]
    sampling: Sampling
    limit: int
    stops: frozenset[int]
    draws: np.ndarray
    slot: int = -1
    computed: int = 0
    cached: int = 0
    log_probs: list[float] = field(default_factory=list)

    @property
    def prefilling(self) -> bool:
        return self.computed < len(self.prompt)

    @property
    def draw(self) -> float:
        """The uniform for the next output token."""
        return float(self.draws[len(self.log_probs)])

    def append(self, token: int, log_prob: float) -> Finish | None:
        """Take one sampled token; returns how the request ended, or None while it goes on."""
        self.tokens.append(token)
        self.log_probs.append(log_prob)
        if token in self.stops:
            return Finish.STOP
        return Finish.LENGTH if len(self.log_probs) >= self.limit else None

    def result(self, finish: Finish, version: int) -> Generation:
        output = tuple(self.tokens[len(self.prompt) :])
        return Generation(self.request_id, output, tuple(self.log_probs), finish, self.cached, version)


@dataclass(frozen=True)
class Plan:
    """One step: what is computed, and which sequences are sampled from which row of it."""

    batch: Batch
    decoding: list[Sequence]
    chunks: list[tuple[Sequence, Chunk]]
    sampled: list[Sequence]
    rows: torch.Tensor


def plan_step(running: Tokens[Sequence], budget: int, dtype: torch.dtype, device: torch.device) -> Plan | None:
    """Every decoding sequence gives one token, prefilling ones share `budget` tokens in the order of `running`.

    Returns None when nothing runs.
    """
    decoding = sorted((s for s in running if not s.prefilling), key=lambda s: s.slot)
    chunks: list[tuple[Sequence, Chunk]] = []
    for sequence in running:
        if sequence.prefilling and budget > 0:
            count = min(budget, len(sequence.prompt) - sequence.computed)
            chunks.append((sequence, Chunk(sequence.slot, sequence.computed, count)))
            budget -= count
    if not decoding and not chunks:
        return None
    sampled, rows = list(decoding), list(range(len(decoding)))
    offset = len(decoding)
    for sequence, chunk in chunks:
        offset += chunk.count
        if chunk.start + chunk.count == len(sequence.prompt):
            sampled.append(sequence)
            rows.append(offset - 1)
    batch = make_batch(decoding, chunks, dtype, device)
    return Plan(batch, decoding, chunks, sampled, torch.tensor(rows, dtype=torch.int64, device=device))


def make_batch(
    decoding: list[Sequence], chunks: list[tuple[Sequence, Chunk]], dtype: torch.dtype, device: torch.device
) -> Batch:
    """Flatten the tokens of one step. `decoding` must be sorted by slot."""
    tokens = [s.tokens[s.computed] for s in decoding]
    positions = [s.computed for s in decoding]
    slots = [s.slot for s in decoding]
    mask = decode_mask(slots, positions, dtype, device) if decoding else None
    decode_slots = list(slots)
    for sequence, chunk in chunks:
        end = chunk.start + chunk.count
        tokens += sequence.tokens[chunk.start : end]
        positions += range(chunk.start, end)
        slots += [chunk.slot] * chunk.count
    flat = torch.tensor((tokens, positions, slots), dtype=torch.int64, device=device)
    return Batch(flat[0], flat[1], flat[2], decode_slots, mask, [chunk for _, chunk in chunks])


def decode_mask(slots: list[int], positions: list[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Additive mask [last slot + 1, 1, 1, longest]: each slot sees its own tokens up to its new one.

    Slots in between that do not decode see one token, because a row without any would give NaN.
    """
    lengths = np.ones(slots[-1] + 1, dtype=np.int64)
    lengths[slots] = np.asarray(positions) + 1
    hidden = np.arange(lengths.max())[None] >= lengths[:, None]
    mask = np.where(hidden, np.float32("-inf"), np.float32(0))
    return torch.from_numpy(mask).to(device, dtype)[:, None, None]
