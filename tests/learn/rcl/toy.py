"""A learner small enough to follow by hand: a task passes when its name stands in the playbook."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.agents.protocol import RunRequest
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Outcome, Task, Trajectory
from cleartrace.learn.accept import Always
from cleartrace.learn.protocol import EntryVerdict, Proposal, Reflection, Signal, Tag
from cleartrace.learn.rcl.config import Perturbation
from cleartrace.learn.rcl.parts import Parts
from tests.learn.rcl.samples import task


class Shown:
    """Provides the texts of a playbook's entries."""

    def __init__(self, playbook: Playbook, probe: str = "", suffix: str = "") -> None:
        self.playbook, self.probe, self.suffix = playbook, probe, suffix

    @property
    def hash(self) -> str:
        return self.playbook.digest + self.probe + self.suffix

    async def context_for(self, task: Task, seed: int) -> Context:
        text = "\n".join(entry.text for entry in self.playbook.entries)
        return Context(text=text + self.suffix, probe=self.probe, provider_hash=self.hash)


def probing(inner: Shown, which: Perturbation) -> Shown:
    return Shown(inner.playbook, probe=which.value)


def instructing(inner: Shown, which: Perturbation) -> Shown:
    return Shown(inner.playbook, suffix=f"\n{which.value}")


class Runner:
    """Passes a task whose name is in the context; `broken` tasks fail for others' reasons."""

    def __init__(self, broken: Sequence[str] = (), lucky: Sequence[str] = (), partial: float = 0.0) -> None:
        self.broken, self.lucky, self.partial = set(broken), set(lucky), partial
        self.made: list[Episode] = []

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        episodes = [await self._run(one) for one in requests]
        self.made += episodes
        return episodes

    async def _run(self, request: RunRequest) -> Episode:
        context = await request.provider.context_for(request.task, request.seed)
        known = f"rule {request.task.id} " in context.text
        solved = (known or (request.task.id in self.lucky and request.seed % 2 == 0)) and not context.probe
        broken = request.task.id in self.broken
        failure = Failure(kind=FailureKind.SANDBOX, message="down") if broken else None
        return Episode(
            trajectory=Trajectory(
                environment="toy", task_id=request.task.id, agent="toy", seed=request.seed, context=context
            ),
            outcome=Outcome(score=None if broken else 1.0 if solved else self.partial, failure=failure),
        )


class Reflector:
    def __init__(self, error: Exception | None = None, fail_at: int = 1) -> None:
        self.error, self.fail_at = error, fail_at
        self.calls: list[tuple[str, ...]] = []

    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        self.calls.append(tuple(one.task.id for one in signals))
        if self.error is not None and len(self.calls) >= self.fail_at:
            raise self.error
        return tuple(
            Reflection(
                task_ids=(one.task.id,),
                episodes=tuple(run.id for run in one.episodes),
                analysis=f"rule {one.task.id} is missing",
                verdicts=tuple(EntryVerdict(entry_id=entry.id, tag=Tag.HARMFUL) for entry in playbook.entries),
            )
            for one in signals
        )


class Mutator:
    def __init__(self, propose: Sequence[Operation] | None = None, more_runs: Sequence[str] = ()) -> None:
        self.fixed, self.more_runs = propose, tuple(more_runs)
        self.seen: list[tuple[Playbook, str]] = []

    async def propose(
        self, playbook: Playbook, signals: Sequence[Signal], reflections: Sequence[Reflection], memory: str, seed: int
    ) -> Proposal:
        self.seen.append((playbook, memory))
        operations = self.fixed
        if operations is None:
            operations = [
                Operation(op=Op.ADD, texts=(f"rule {one.task.id} says pass",), source_tasks=(one.task.id,))
                for one in signals
            ]
        return Proposal(operations=tuple(operations), summary="toy", more_runs=self.more_runs)


def parts(n: int = 6, validation: int = 0, **changes: object) -> Parts:
    values = {
        "train": [task(f"t{number}") for number in range(n)],
        "validation": [task(f"v{number}", "val") for number in range(validation)],
        "runner": Runner(),
        "reflector": Reflector(),
        "mutator": Mutator(),
        "provide": Shown,
        "probe": probing,
        "instruct": instructing,
        "acceptance": Always(),
    }
    return Parts(**{**values, **changes})  # type: ignore[arg-type]
