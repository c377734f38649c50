"""Synthetic arithmetic and text tasks that a small policy solves with a Python tool."""

from cleartrace.data.tasks.families import EASY_FAMILIES, FAMILIES
from cleartrace.data.tasks.pool import draw_task, generate_tasks, task_stream
from cleartrace.data.tasks.task import Split, Task, split_of

__all__ = ["EASY_FAMILIES", "FAMILIES", "Split", "Task", "draw_task", "generate_tasks", "split_of", "task_stream"]
