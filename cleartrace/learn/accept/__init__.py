"""Acceptance of edits: always (published), paired (ours), validation, Pareto."""

from cleartrace.learn.accept.protocol import AcceptancePolicy, Bench, Case, Decision, Draw, Standing, Verdict

__all__ = ["AcceptancePolicy", "Bench", "Case", "Decision", "Draw", "Standing", "Verdict"]
