"""SAAR: roll a failed tool call back, splice its repair into the trajectory, keep count of what was done.

A pure decision core: `start`, `on_executed`, `on_regenerated`, `on_scored` and `finish` (module `machine`) decide, the
caller generates, scores, executes and appends. `reference` is the same method as one plain function.
"""

from cleartrace.purify.config import SaarConfig
from cleartrace.purify.counters import Effort, TrajectoryCounters
from cleartrace.purify.decision import (
    Adopt,
    Append,
    GiveUp,
    GiveUpReason,
    Keep,
    Limits,
    Regenerate,
    Repair,
    Score,
    token_budget,
)
from cleartrace.purify.machine import ProtocolError, SaarState, finish, on_executed, on_regenerated, on_scored, start
from cleartrace.purify.metrics import aggregate
from cleartrace.purify.turn import Turn, sampled_turn

__all__ = [
    "Adopt",
    "Append",
    "Effort",
    "GiveUp",
    "GiveUpReason",
    "Keep",
    "Limits",
    "ProtocolError",
    "Regenerate",
    "Repair",
    "SaarConfig",
    "SaarState",
    "Score",
    "TrajectoryCounters",
    "Turn",
    "aggregate",
    "finish",
    "on_executed",
    "on_regenerated",
    "on_scored",
    "sampled_turn",
    "start",
    "token_budget",
]
