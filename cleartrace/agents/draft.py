"""A run while it goes on: what was said so far, and how it becomes an episode."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cleartrace.agents.cite import citations
from cleartrace.episodes.types import (
    Context,
    Episode,
    Failure,
    FailureKind,
    Outcome,
    Step,
    StepKind,
    StopReason,
    Task,
    Trajectory,
    Usage,
)
from cleartrace.llm.protocol import Message, Reply, ToolCall
from cleartrace.tools.result import Blame
from cleartrace.trajectory.record import written

_STOPS = {
    FailureKind.TIME_LIMIT: StopReason.TIME_LIMIT,
    FailureKind.STEP_LIMIT: StopReason.STEP_LIMIT,
    FailureKind.TOKEN_LIMIT: StopReason.TOKEN_LIMIT,
}


@dataclass
class Draft:
    """Grows with a run, and is whole at every moment: a run that is cut off keeps what it did."""

    task: Task
    agent: str
    context: Context
    seed: int
    messages: list[Message] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    output: str = ""
    started: float = field(default_factory=time.monotonic)

    def system(self, rules: str, shown: str) -> None:
        """The system prompt. `rules` alone becomes a step: the context that `shown` also holds is kept once."""
        if rules:
            self.steps.append(Step(kind=StepKind.INPUT, name="system", text=rules))
        if shown:
            self.messages.append(Message(role="system", content=shown))

    def user(self, text: str) -> None:
        text = clean(text)
        self.steps.append(Step(kind=StepKind.INPUT, name="user", text=text))
        self.messages.append(Message(role="user", content=text))

    def reply(self, reply: Reply) -> None:
        self.turns += 1
        self.usage = self.usage + reply.usage
        self.messages.append(reply.message)
        if reply.message.thought:
            self.steps.append(Step(kind=StepKind.THOUGHT, text=clean(reply.message.thought)))
        if reply.text:
            self.output = clean(reply.text)
            self.steps.append(Step(kind=StepKind.MESSAGE, text=self.output))

    def call(self, call: ToolCall, as_text: bool = False) -> None:
        """`as_text`: it was written in a message, and `Step.text` says how."""
        text = "" if call.arguments is not None and not as_text else clean(call.raw)
        step = Step(kind=StepKind.CALL, name=call.name, arguments=call.arguments, call_id=call.id, text=text)
        self.steps.append(step)

    def result(self, call: ToolCall, text: str, is_error: bool) -> None:
        self.steps.append(Step(kind=StepKind.RESULT, name=call.name, call_id=call.id, text=text, is_error=is_error))

    def trajectory(self, failure: Failure | None) -> Trajectory:
        said = (step.text for step in self.steps if step.kind in (StepKind.MESSAGE, StepKind.THOUGHT))
        cited = citations(said, self.context.parts)
        return Trajectory(
            environment=self.task.environment,
            task_id=self.task.id,
            agent=self.agent,
            seed=self.seed,
            context=self.context,
            steps=tuple(self.steps),
            output=self.output,
            citations=cited.known,
            unknown_citations=cited.unknown,
            stop=stop_of(failure),
            turns=self.turns,
            usage=self.usage,
            seconds=round(time.monotonic() - self.started, 4),
        )

    def episode(self, outcome: Outcome, stop: Failure | None = None) -> Episode:
        """`stop`: why the agent stopped, where that was not the end of the task."""
        return Episode(trajectory=self.trajectory(stop), outcome=outcome)


def failed(failure: Failure, found: Outcome | None = None) -> Outcome:
    """The outcome of a run that ended in `failure`. The model's own failures score 0; for others there is no score.

    Args:
        found: what the environment said of the state in which the run stopped; its score goes into the details.
    """
    score = 0.0 if failure.kind.blame is Blame.MODEL else None
    if found is None:
        return Outcome(score=score, failure=failure)
    details = {**found.details, "score_at_stop": found.score}
    return Outcome(score=score, failure=failure, feedback=found.feedback, details=details)


def stop_of(failure: Failure | None) -> StopReason:
    return StopReason.FINISHED if failure is None else _STOPS.get(failure.kind, StopReason.ERROR)


def clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return written(text) or ""
