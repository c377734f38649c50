"""Arms from tables of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Outcome, Trajectory, Usage
from cleartrace.evaluate.context.arm import Arm, Asked, Manifest

Score = float | FailureKind | None


def outcome_of(score: float | FailureKind) -> Outcome:
    if not isinstance(score, FailureKind):
        return Outcome(score=score)
    failure = Failure(kind=score, message="said so")
    return Outcome(score=0.0 if failure.kind.blame.value == "model" else None, failure=failure)


MADE = Usage(calls=1, output_tokens=10, cost=0.05, seconds=0.5)


def episode(
    task: str, seed: int, score: float | FailureKind, probe: str = "", seconds: float = 2.0, made: Usage = MADE
) -> Episode:
    """`made`: usage of the context."""
    context = Context(text="c", probe=probe, usage=made)
    usage = Usage(calls=2, input_tokens=100, output_tokens=20, cost=0.25)
    run = Trajectory(
        environment="world", task_id=task, agent="a", seed=seed, context=context, turns=4, usage=usage, seconds=seconds
    )
    return Episode(trajectory=run, outcome=outcome_of(score))


def arm(scores: Mapping[str, Sequence[Score]], groups: Mapping[str, str] | None = None, name: str = "arm", **changes):
    """`scores`: task -> score of each pass; None: no such run."""
    seeds = tuple(range(len(next(iter(scores.values())))))
    tasks = tuple(Asked(id=task, group=(groups or {}).get(task, task)) for task in scores)
    facts = {"environment": "world", "split": "test", "agent": "a", "context": name, "context_hash": name, **changes}
    runs = [episode(t, i, score) for t, row in scores.items() for i, score in enumerate(row) if score is not None]
    return Arm.of(name, Manifest(tasks=tasks, seeds=seeds, **facts), runs)
