"""Contrastive reflection as an environment: an agent with a restricted shell reads runs and submits guidance.

So a reflection is a run like any other: with tool calls, limits and budgets of the agent loop, stored whole, never made
twice, and going on after a kill with those that are missing. Its outcome says only whether there is usable guidance.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.episodes.files import StoreError
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Failure, FailureKind, Outcome, Record, Task
from cleartrace.learn.clear.subsets import Subset
from cleartrace.learn.prompts import compose, version
from cleartrace.learn.shell import Limits
from cleartrace.learn.shell.runs import SHELL, RunShell, wrong
from cleartrace.llm.protocol import ToolCall, ToolSpec

NAME = "reflection"
SUBMIT = ToolSpec(
    name="submit",
    description="Hand in the guidance. Ends the work.",
    parameters={
        "type": "object",
        "properties": {
            "guidance": {"type": "string"},
            "evidence": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["guidance"],
    },
)


_NAMES = re.compile(r"\brun-\d+\b|\boutcomes\.json\b|\bview\.md\b|\btrajectory\.jsonl\b")
"""Files that only a reader of attempts has."""


class ReflectionRules(Record):
    """What may be submitted. `max_words` of the guidance; an empty text says that none would help.

    `outcomes`: the agent sees score, feedback and failure of each run, as published. What they give away is for a leak
    filter to catch (`rows.py`).
    """

    max_words: int = 150
    outcomes: bool = True


class ReflectionEnvironment:
    """One task for each subset; an `environments.protocol.Environment` without gold."""

    name = NAME
    domain = "An agent reads recorded runs of another agent and writes guidance for its next run."
    sections: Mapping[str, str] = {}

    def __init__(
        self,
        store: EpisodeStore,
        subsets: Sequence[Subset],
        rules: ReflectionRules | None = None,
        limits: Limits | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._store, self._scratch = store, scratch
        self._subsets = {one.id: one for one in subsets}
        self._rules, self._limits = rules or ReflectionRules(), limits or Limits()

    @property
    def version(self) -> str:
        """Of everything but the subsets: part of what makes two reflections the same one."""
        facts = [version("guidance"), self._rules.canonical(), asdict(self._limits)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def tasks(self, split: str | None = None) -> list[Task]:
        found = []
        for one in self._subsets.values():
            facts = {"task": one.task.id, "environment": one.task.environment, "episodes": list(one.episodes)}
            group = one.task.group or one.task.id
            found.append(Task(environment=NAME, id=one.id, input=one.task.input, group=group, metadata=facts))
        return found

    def session(self, task_id: str, seed: int) -> ReflectionSession:
        if task_id not in self._subsets:
            raise ValueError(f"there is no subset {task_id}")
        return ReflectionSession(self._store, self._subsets[task_id], self._rules, self._limits, self._scratch)

    def gold(self, task_id: str, seed: int) -> None:
        return None


class ReflectionSession:
    """One subset being read."""

    def __init__(
        self, store: EpisodeStore, subset: Subset, rules: ReflectionRules, limits: Limits, scratch: Path | None
    ) -> None:
        self._store, self._subset, self._rules, self._limits = store, subset, rules, limits
        self._scratch = scratch
        self._shell: RunShell | None = None
        self._guidance: str | None = None
        self._evidence: list[str] = []

    def start(self) -> Observation:
        try:
            runs = [self._store.get(id) for id in self._subset.episodes]
        except StoreError as error:
            raise EnvironmentFault(str(error)) from error
        self._shell = RunShell(runs, self._limits, self._scratch, outcomes=self._rules.outcomes)
        prompt = compose(
            "guidance",
            task=self._subset.task.input,
            runs=list(self._shell.folders),
            calls=self._limits.calls,
            max_words=self._rules.max_words,
            outcomes=self._rules.outcomes,
            shell_help=self._shell.help,
        )
        return Observation(system=prompt.system, text=prompt.user, tools=(SHELL, SUBMIT))

    def act(self, action: Action) -> Observation:
        if self._shell is None:
            raise EnvironmentFault("the session was not started")
        if not action.calls:
            return Observation(text="Call `shell` to read, or `submit` when you are done.", tools=(SHELL, SUBMIT))
        results = tuple(self._answer(call, self._shell) for call in action.calls)
        return Observation(results=results, tools=(SHELL, SUBMIT), done=self._guidance is not None)

    def _answer(self, call: ToolCall, shell: RunShell) -> CallResult:
        arguments = call.arguments or {}
        if self._guidance is not None:
            return wrong(call, "the guidance was submitted already")
        if call.name == SHELL.name:
            return shell.answer(call)
        if call.name == SUBMIT.name:
            return self._submit(call, arguments)
        return wrong(call, f"there is no tool {call.name}; there are shell and submit")

    def _submit(self, call: ToolCall, arguments: Mapping[str, Any]) -> CallResult:
        guidance = arguments.get("guidance")
        if not isinstance(guidance, str):
            return wrong(call, "guidance must be a string; an empty one says that none would help")
        words = len(guidance.split())
        if words > self._rules.max_words:
            return wrong(call, f"the guidance has {words} words; at most {self._rules.max_words} are allowed")
        if named := _NAMES.search(guidance):
            return wrong(call, f"the next agent does not see the attempts or their files: say it without {named[0]!r}")
        self._guidance = guidance.strip()
        evidence = arguments.get("evidence")
        self._evidence = [str(one) for one in evidence] if isinstance(evidence, list) else []
        return CallResult(call_id=call.id, text="accepted")

    def outcome(self) -> Outcome:
        calls = [call.model_dump(mode="json") for call in self._shell.log] if self._shell else []
        details = {"shell": calls, "bytes_read": sum(call["bytes"] for call in calls), "guidance": self._guidance}
        details["evidence"] = self._evidence
        if self._guidance is None:
            failure = Failure(kind=FailureKind.FORMAT, message="nothing was submitted")
            return Outcome(score=0.0, details=details, failure=failure)
        return Outcome(score=1.0, details=details)

    def close(self) -> None:
        if self._shell is not None:
            self._shell.close()
