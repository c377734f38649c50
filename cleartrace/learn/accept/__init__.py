"""Acceptance of edits: always (published), paired (ours), validation, Pareto."""

from cleartrace.learn.accept.always import Always
from cleartrace.learn.accept.credited import Credited
from cleartrace.learn.accept.paired import Paired
from cleartrace.learn.accept.pareto import Pareto
from cleartrace.learn.accept.protocol import AcceptancePolicy, Bench, Case, Decision, Draw, Standing, Verdict
from cleartrace.learn.accept.rule import Criterion
from cleartrace.learn.accept.validation import Validation

__all__ = [
    "AcceptancePolicy",
    "Always",
    "Bench",
    "Case",
    "Credited",
    "Criterion",
    "Decision",
    "Draw",
    "Paired",
    "Pareto",
    "Standing",
    "Validation",
    "Verdict",
]
