"""The rollback coin: a deterministic draw, the same in every process and after every resume (D17, D21)."""

from __future__ import annotations

import hashlib
import json

from cleartrace.purify.config import ProbabilityScope, SaarConfig


def draw(seed: int, sample_id: str, step: int, rollout: int | None) -> float:
    """u in [0, 1), a hash of its arguments; `rollout=None` is the draw of the whole group."""
    key = json.dumps([seed, sample_id, step, rollout]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64


def may_roll_back(config: SaarConfig, sample_id: str, step: int, rollout: int, *, evaluation: bool = False) -> bool:
    """True when this rollout belongs to the arm with rollback. Evaluation follows `enable` alone."""
    if not config.enable or evaluation:
        return config.enable
    grouped = config.probability_scope is ProbabilityScope.GROUP
    return draw(config.seed, sample_id, step, None if grouped else rollout) < config.probability
