"""A read-only shell over chosen files, for an agent that reflects: commands in process, nothing of the system's."""

from cleartrace.learn.shell.shell import Limits, Shell, ShellCall

__all__ = ["Limits", "Shell", "ShellCall"]
