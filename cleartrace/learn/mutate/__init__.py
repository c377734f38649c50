"""Mutation: from findings to edits of a playbook."""

from cleartrace.learn.mutate.mutator import LLMMutator
from cleartrace.learn.mutate.prompt import Options, Runs
from cleartrace.learn.mutate.scripted import ScriptedMutator
from cleartrace.learn.mutate.summary import Summariser

__all__ = ["LLMMutator", "Options", "Runs", "ScriptedMutator", "Summariser"]
