"""RewardBench 2 as tasks for a judge: reader, shuffling, own scorer, leaderboard figures. The data is the user's."""

from cleartrace.environments.rewardbench.environment import RewardBench
from cleartrace.environments.rewardbench.leaderboard import Leaderboard, leaderboard

__all__ = ["Leaderboard", "RewardBench", "leaderboard"]
