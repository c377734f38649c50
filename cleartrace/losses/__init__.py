"""Losses beside the policy gradient, as pure functions on numpy arrays: preferences between two tool calls."""

from cleartrace.losses.options import Mode, NegativesConfig
from cleartrace.losses.step import PairPush, PairScores, preference_metrics, push_pairs

__all__ = ["Mode", "NegativesConfig", "PairPush", "PairScores", "preference_metrics", "push_pairs"]
