"""An agent that runs elsewhere, behind the contract: whatever takes an `ExecutionAgent` can be given this one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from cleartrace.agents.draft import failed, stop_of
from cleartrace.agents.rollout_endpoint.client import RolloutClient
from cleartrace.agents.rollout_endpoint.types import Result
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.episodes.identity import context_hash
from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Outcome, Step, StepKind, Task, Trajectory


class RemoteAgent:
    """Runs tasks through an endpoint.

    The same task, seed and context are the same session: a run that was finished while nobody listened is picked up and
    not made again. A run that somebody else than the model spoiled has a new session when it is asked for again.

    Args:
        identity: of what runs there; `RemoteAgent.at` asks for it.
    """

    def __init__(self, client: RolloutClient, identity: str = "") -> None:
        self.client, self._identity = client, identity
        self._spoiled: Counter[str] = Counter()

    @classmethod
    async def at(cls, client: RolloutClient) -> RemoteAgent:
        """With the identity that our endpoint tells. Raises `RolloutFault`."""
        about = await client.about()
        return cls(client, json.dumps([about.get("environment"), about.get("agent")]))

    @property
    def hash(self) -> str:
        facts = ("rollout/1", self._identity or self.client.url, sorted(map(repr, self.client.model.items())))
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        """Raises `EnvironmentFault` where the endpoint cannot be asked."""
        key = "-".join((self.hash, context_hash(context), str(seed)))
        session = f"{key}-{self._spoiled[task.id + key]}"
        given = context.model_dump(mode="json")
        try:
            future = await self.client.invoke(task.id, _name(task.id), session, seed=seed, context=given)
            result = await future.result()
        except (RuntimeError, ValueError) as error:
            raise EnvironmentFault(f"the rollout endpoint: {error}") from error
        episode = self._episode(task, context, seed, result)
        self._spoiled[task.id + key] += episode.outcome.score is None
        return episode

    def _episode(self, task: Task, context: Context, seed: int, result: Result) -> Episode:
        """Ours comes as it is. Others send a score, and what their agent did is not known here."""
        if result.episode is not None:
            return result.episode
        failure = result.failure or (_unexplained(result) if result.failed else None)
        trajectory = Trajectory(
            environment=task.environment,
            task_id=task.id,
            agent=self.hash,
            seed=seed,
            context=context,
            steps=(Step(kind=StepKind.INPUT, name="user", text=task.input),),
            stop=stop_of(failure),
        )
        if failure is not None:
            return Episode(trajectory=trajectory, outcome=failed(failure))
        try:
            return Episode(trajectory=trajectory, outcome=Outcome(score=_score(result)))
        except ValueError as error:
            failure = Failure(kind=FailureKind.ENGINE, message=str(error))
            return Episode(trajectory=trajectory, outcome=failed(failure))


def _unexplained(result: Result) -> Failure:
    return Failure(kind=FailureKind.ENGINE, message=f"the rollout failed: {result.stop_reason}")


def _score(result: Result) -> float:
    """The last reward is that of the whole run."""
    rewards = result.rewards if isinstance(result.rewards, list) else [result.rewards]
    if not rewards or rewards[-1] is None or not 0.0 <= rewards[-1] <= 1.0:
        raise ValueError(f"rewards {result.rewards} hold no score from 0 to 1")
    return float(rewards[-1])


def _name(task_id: str) -> str:
    """The task's id where it can be part of a key, or else its digest."""
    plain = task_id.replace("_", "").replace("-", "")
    return task_id if plain.isalnum() and task_id.isascii() and len(task_id) < 200 else _digest(task_id)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
