"""What guidance must not hold: what an evaluator said, the answer, and values that one instance alone has.

All of it is lexical. A paraphrase of an answer passes; the funnel and `dropped.jsonl` show what did not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cleartrace.context.playbook.entities import entities, leak_tokens
from cleartrace.context.playbook.leak import LeakGuard, LeakKind, Secret
from cleartrace.episodes.types import Episode, StepKind, Task
from cleartrace.learn.clear.gold import leaves

_CLAUSE = re.compile(r"[;\n]|(?<=[.!?:])\s")
_RUNNER_DETAILS = frozenset({"score_at_stop", "time_limit_s", "infra_retries"})
_SENTENCE = 3
"""Words from which on a piece of what an evaluator says may be a secret. `Failed` is none."""
_EVERYWHERE = 0.5
"""What an evaluator says of so large a share of the scenarios is about the environment: "no answer was given"."""
_LEAST = 4
"""Scenarios below which nothing can be told to be general."""


@dataclass(frozen=True)
class _Group:
    """One task's scenario and what its text states already."""

    group: str
    stated: str


class GuidanceFilter:
    """Guidance held against the runs it was drawn from.

    Three kinds of things are secret: sentences of the evaluator and gold answers; long quotations of them; and values
    (ids, amounts, names, addresses, see `entities`) that the runs of this scenario met. Free to say is what the task
    states itself, what the rules of the environment state, and what is general.

    Args:
        gold: task id -> answers that the environment knows.
        general_from: a value that so many scenarios met belongs to the environment. None takes a twentieth of the
            scenarios, and four at least, as the guard of playbooks does.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        runs: Iterable[Episode],
        gold: Mapping[str, Sequence[str]] | None = None,
        general_from: int | None = None,
    ) -> None:
        self._tasks = {task.id: _Group(task.group or task.id, _stated(task)) for task in tasks}
        groups = {one.group for one in self._tasks.values()}
        self._general_from = general_from or max(_LEAST, -(-len(groups) // 20))
        self._usual_from = max(_LEAST, int(_EVERYWHERE * len(groups)) + 1)
        self._rules: set[str] = set()
        self._values: dict[str, set[str]] = defaultdict(set)
        self._said: dict[str, set[str]] = defaultdict(set)
        self._clauses: dict[str, dict[str, None]] = defaultdict(dict)
        self._guards: dict[str, LeakGuard] = {}
        for run in runs:
            if run.task_id in self._tasks:
                self._read(run)
        for id, answers in (gold or {}).items():
            if id in self._tasks:
                self._keep(id, answers)

    def leak(self, task_id: str, guidance: str) -> str:
        """What `guidance` gives away first, in words; "" for nothing."""
        return next(self._leaks(task_id, guidance), "")

    def _leaks(self, task_id: str, guidance: str) -> Iterator[str]:
        known = self._tasks[task_id]
        for leak in self._guard(task_id).leaks(guidance):
            if leak.kind is not LeakKind.ENTITY and f" {leak.found} " not in known.stated:
                yield f"{leak.kind.value}: {leak.found}"
        for value in sorted(entities(guidance)):
            met = self._values.get(value, set())
            if known.group in met and len(met) < self._general_from and not self._is_free(value, known):
                yield f"value: {value}"

    def _is_free(self, value: str, known: _Group) -> bool:
        return value in self._rules or f" {' '.join(leak_tokens(value))} " in known.stated

    def _guard(self, task_id: str) -> LeakGuard:
        if task_id not in self._guards:
            clauses = self._clauses.get(task_id, {})
            secret = [one for one in clauses if len(self._said[_key(one)]) < self._usual_from]
            self._guards[task_id] = LeakGuard(Secret(text=one, task_id=task_id) for one in secret)
        return self._guards[task_id]

    def _read(self, run: Episode) -> None:
        for step in run.trajectory.steps:
            if step.kind is StepKind.INPUT and step.name == "system":
                self._rules |= entities(step.text)
            else:
                self._meet(run.task_id, [step.text, *leaves(step.arguments)])
        self._meet(run.task_id, [run.trajectory.output])
        details = {name: value for name, value in run.outcome.details.items() if name not in _RUNNER_DETAILS}
        self._keep(run.task_id, leaves(details))
        self._keep(run.task_id, [run.outcome.feedback], _SENTENCE)

    def _meet(self, task_id: str, texts: Iterable[str]) -> None:
        group = self._tasks[task_id].group
        for text in texts:
            for value in entities(text):
                self._values[value].add(group)

    def _keep(self, task_id: str, texts: Iterable[str], words: int = 1) -> None:
        texts = list(texts)
        self._meet(task_id, texts)
        pieces = [*texts, *(one for text in texts for one in _CLAUSE.split(text) if len(one.split()) >= _SENTENCE)]
        for piece in (one.strip() for one in pieces):
            if len(piece.split()) >= words:
                self._clauses[task_id][piece] = None
                self._said[_key(piece)].add(self._tasks[task_id].group)


def _stated(task: Task) -> str:
    """Words of all that the agent is told of its task, one blank around each."""
    return f" {' '.join(leak_tokens(' '.join([task.input, *leaves(task.metadata)])))} "


def _key(text: str) -> str:
    return " ".join(leak_tokens(text))
