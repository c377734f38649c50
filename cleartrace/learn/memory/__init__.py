"""The optimiser's memory: what was edited, what came of it, and what the playbook holds."""

from cleartrace.learn.memory.document import OptimizerState
from cleartrace.learn.memory.memory import OptimizerMemory, Remembered
from cleartrace.learn.memory.record import IterationRecord
from cleartrace.learn.memory.render import memory_text

__all__ = ["IterationRecord", "OptimizerMemory", "OptimizerState", "Remembered", "memory_text"]
