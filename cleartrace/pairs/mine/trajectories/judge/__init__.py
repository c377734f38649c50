"""Stage 6: does a pair ask a fair question? Judges behind one protocol."""

from cleartrace.pairs.mine.trajectories.judge.case import Case, Judge, JudgeError, Label, Reason, Verdict

__all__ = ["Case", "Judge", "JudgeError", "Label", "Reason", "Verdict"]
