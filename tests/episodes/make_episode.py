"""Episodes for tests."""

from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Outcome, Step, StepKind, Trajectory


def episode(
    task="t1", seed=0, score: float | None = 1.0, agent="agent", text="", environment="env", **fields
) -> Episode:
    failure = None if score is not None else Failure(kind=FailureKind.ENGINE, message="down")
    steps = (
        Step(kind=StepKind.INPUT, text=f"Do {task}.", name="user"),
        Step(kind=StepKind.CALL, name="look", arguments={"at": task}, call_id="1"),
        Step(kind=StepKind.RESULT, name="look", text=f"saw {text}", call_id="1"),
        Step(kind=StepKind.MESSAGE, text=f"Done {seed}."),
    )
    fields = {"steps": steps, "output": f"Done {seed}.", "turns": 2, "context": Context(text=text)} | fields
    trajectory = Trajectory(environment=environment, task_id=task, agent=agent, seed=seed, **fields)
    return Episode(trajectory=trajectory, outcome=Outcome(score=score, feedback="judged", failure=failure))
