"""Tasks, runs and playbooks for the tests of reflection, mutation and memory."""

from __future__ import annotations

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import (
    Context,
    Episode,
    Outcome,
    PartKind,
    PartRef,
    Step,
    StepKind,
    Task,
    Trajectory,
)
from cleartrace.learn.facts import Facts
from cleartrace.learn.protocol import Signal

FACTS = Facts("shop", "An agent sells things with two tools.", {"pay": "how to charge", "others": "all else"})
PLAYBOOK = Playbook(
    entries=(
        Entry(id="e1", section="pay", text="Read the total before charging.", helpful=4, harmful=1),
        Entry(id="e2", section="pay", text="Charge twice to be sure.", helpful=0, harmful=3),
    ),
    sections=FACTS.sections,
    next_id=3,
)


def task(id: str = "t1") -> Task:
    return Task(environment="shop", id=id, input=f"Sell one lamp to customer {id} at the listed price.")


def run(
    id: str = "t1",
    score: float | None = 0.0,
    *,
    probe: str = "",
    seed: int = 0,
    shown: tuple[tuple[str, int], ...] = (("e1", 1), ("e2", 1)),
    cites: tuple[str, ...] = (),
    result: str = "charged 20",
    feedback: str = "expected one charge",
    failure=None,
) -> Episode:
    parts = tuple(PartRef(kind=PartKind.ENTRY, id=name, revision=revision) for name, revision in shown)
    steps = (
        Step(kind=StepKind.INPUT, name="user", text=task(id).input),
        Step(kind=StepKind.CALL, name="charge", arguments={"amount": 20}, call_id="c1"),
        Step(kind=StepKind.RESULT, name="charge", text=result, call_id="c1"),
    )
    return Episode(
        trajectory=Trajectory(
            environment="shop",
            task_id=id,
            agent="a",
            seed=seed,
            context=Context(text="advice beside the task", parts=parts, probe=probe),
            steps=steps,
            output="Sold.",
            citations=tuple(PartRef(kind=PartKind.ENTRY, id=name, revision=1) for name in cites),
        ),
        outcome=Outcome(score=score, feedback=feedback, failure=failure),
    )


def signal(id: str = "t1", *scores: float, probe: bool = False) -> Signal:
    runs = tuple(run(id, score, seed=seed) for seed, score in enumerate(scores or (0.0,)))
    return Signal(task=task(id), episodes=runs, probe=run(id, 0.0, probe="full", seed=99) if probe else None)
