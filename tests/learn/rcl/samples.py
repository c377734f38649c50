"""Tasks and episodes for the tests of the loop."""

from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Outcome, Task, Trajectory


def task(id: str, split: str = "train") -> Task:
    return Task(environment="toy", id=id, input=f"do {id}", split=split)


def episode(id: str, score: float | None, seed: int = 0, probe: str = "") -> Episode:
    failure = Failure(kind=FailureKind.SANDBOX, message="the container died") if score is None else None
    return Episode(
        trajectory=Trajectory(
            environment="toy", task_id=id, agent="toy", seed=seed, context=Context(text="x", probe=probe)
        ),
        outcome=Outcome(score=score, failure=failure),
    )
