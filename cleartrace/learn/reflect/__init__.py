"""Reflection: from runs of tasks to typed findings."""

from cleartrace.learn.reflect.citations import CitationReflector
from cleartrace.learn.reflect.prompt import Features
from cleartrace.learn.reflect.reflector import LLMReflector
from cleartrace.learn.reflect.runs import Budget
from cleartrace.learn.reflect.shell import ShellReflector

__all__ = ["Budget", "CitationReflector", "Features", "LLMReflector", "ShellReflector"]
