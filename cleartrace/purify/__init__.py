"""SAAR: roll a failed tool call back, splice its repair into the trajectory, keep count of what was done.

A pure decision core: `start`, `on_executed`, `on_regenerated` and `finish` (module `machine`) decide, the
caller generates, executes and appends. `reference` is the same method as one plain function.
"""

from cleartrace.purify.boundary import CallMarkers
from cleartrace.purify.config import SaarConfig
from cleartrace.purify.counters import TrajectoryCounters
from cleartrace.purify.decision import Adopt, GiveUp, GiveUpReason, Keep, Limits, Regenerate, Repair, token_budget
from cleartrace.purify.machine import ProtocolError, SaarState, finish, on_executed, on_regenerated, start
from cleartrace.purify.metrics import aggregate
from cleartrace.purify.turn import Turn, sampled_turn

__all__ = [
    "Adopt",
    "CallMarkers",
    "GiveUp",
    "GiveUpReason",
    "Keep",
    "Limits",
    "ProtocolError",
    "Regenerate",
    "Repair",
    "SaarConfig",
    "SaarState",
    "TrajectoryCounters",
    "Turn",
    "aggregate",
    "finish",
    "on_executed",
    "on_regenerated",
    "sampled_turn",
    "start",
    "token_budget",
]
