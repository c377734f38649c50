"""One attempt of one run: whatever the agent does, an episode that is filed under what was asked."""

from __future__ import annotations

import time
import traceback

from cleartrace.agents.deadline import DEADLINE, DeadlinePassed, until
from cleartrace.agents.draft import failed, stop_of
from cleartrace.agents.protocol import ExecutionAgent, RunRequest
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.episodes.types import (
    Context,
    Episode,
    Failure,
    FailureKind,
    Outcome,
    Step,
    StepKind,
    Trajectory,
)
from cleartrace.llm.protocol import BudgetExhausted, LLMError
from cleartrace.llm.retrying import OUTAGE, Outage
from cleartrace.trajectory.record import written

LATE_S = 0.2
"""How long after its deadline an agent may still hand in what it did until then."""


async def attempt(
    agent: ExecutionAgent, request: RunRequest, context: Context, time_limit_s: float | None = None
) -> Episode:
    """Run `agent` once.

    An exception that leaves it is its own failure, unless it says that an endpoint or the environment failed. A run
    over the time limit scores 0, unless an endpoint took its time (`overdue`); its steps are kept where the agent keeps
    to `DEADLINE`.

    Raises:
        BudgetExhausted: as the agent did.
    """
    started, outage = time.monotonic(), Outage()
    try:
        if time_limit_s is None:
            return _filed(await agent.run(request.task, context, request.seed), agent.hash, request, context)
        deadline = started + time_limit_s
        episode = await _limited(agent, request, context, deadline, outage)
        episode = _filed(episode, agent.hash, request, context)
        return _late(episode, time_limit_s, outage) if time.monotonic() > deadline else episode
    except DeadlinePassed:
        assert time_limit_s is not None
        failure = overdue(f"not done after {time_limit_s:g} s", time_limit_s, outage)
    except BudgetExhausted:
        raise
    except LLMError as error:
        failure = Failure(kind=FailureKind.ENGINE, message=_said(error))
    except EnvironmentFault as error:
        failure = Failure(kind=FailureKind.SANDBOX, message=_said(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{_said(error)} ({where.name}, line {where.lineno})"
        failure = Failure(kind=FailureKind.AGENT_ERROR, message=message)
    return unrun(request, agent.hash, context, failure, time.monotonic() - started, time_limit_s)


def unrun(
    request: RunRequest,
    agent: str,
    context: Context,
    failure: Failure,
    seconds: float = 0.0,
    time_limit_s: float | None = None,
) -> Episode:
    """The record of a run of which nothing is known but how it failed (S9)."""
    trajectory = Trajectory(
        environment=request.task.environment,
        task_id=request.task.id,
        agent=agent,
        seed=request.seed,
        context=context,
        steps=(Step(kind=StepKind.INPUT, name="user", text=request.task.input),),
        stop=stop_of(failure),
        seconds=round(seconds, 4),
    )
    outcome = failed(failure)
    if failure.kind is FailureKind.TIME_LIMIT:
        outcome = _with_limit(outcome, time_limit_s)
    return Episode(trajectory=trajectory, outcome=outcome)


def overdue(said: str, time_limit_s: float, outage: Outage) -> Failure:
    """Whose failure it is that a run was not done in time: of an endpoint that was failing at the end of that time, or
    for more than half of it, or else of the model."""
    if outage.since is None and outage.lost_s <= time_limit_s / 2:
        return Failure(kind=FailureKind.TIME_LIMIT, message=said)
    return Failure(kind=FailureKind.ENGINE, message=f"{said}; an endpoint failed for {outage.lost_s:.3g} s")


async def _limited(
    agent: ExecutionAgent, request: RunRequest, context: Context, deadline: float, outage: Outage
) -> Episode:
    """The agent's task copies the present context variables: these reach it and nobody else."""
    tokens = DEADLINE.set(deadline), OUTAGE.set(outage)
    try:
        run = agent.run(request.task, context, request.seed)
        return await until(deadline + LATE_S, run)
    finally:
        DEADLINE.reset(tokens[0])
        OUTAGE.reset(tokens[1])


def _late(episode: Episode, time_limit_s: float, outage: Outage) -> Episode:
    """An agent that does not keep to the deadline and finished just after it, or one that does and says so."""
    outcome = episode.outcome
    if outcome.score is None:
        return episode
    if outcome.failure is not None and outcome.failure.kind is FailureKind.TIME_LIMIT:
        failure = overdue(outcome.failure.message, time_limit_s, outage)
        outcome = outcome.model_copy(update={"score": failed(failure).score, "failure": failure})
    else:
        failure = overdue(f"done, but not within {time_limit_s:g} s", time_limit_s, outage)
        outcome = failed(failure, outcome)
    trajectory = episode.trajectory.model_copy(update={"stop": stop_of(failure)})
    return Episode(trajectory=trajectory, outcome=_with_limit(outcome, time_limit_s))


def _with_limit(outcome: Outcome, time_limit_s: float | None) -> Outcome:
    return outcome.model_copy(update={"details": {**outcome.details, "time_limit_s": time_limit_s}})


def _filed(episode: Episode, agent: str, request: RunRequest, context: Context) -> Episode:
    """Under the task, agent, context and seed that were asked: the runner knows them, an agent only repeats them."""
    trajectory, task = episode.trajectory, request.task
    asked = {"environment": task.environment, "task_id": task.id, "agent": agent, "seed": request.seed}
    if trajectory.context is context and all(getattr(trajectory, name) == value for name, value in asked.items()):
        return episode
    return episode.model_copy(update={"trajectory": trajectory.model_copy(update={**asked, "context": context})})


def _said(error: Exception) -> str:
    return written(f"{type(error).__name__}: {error}") or ""
