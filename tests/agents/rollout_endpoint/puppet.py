"""An agent that does what a task's name says, behind the real service and the real HTTP application."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from cleartrace.agents.rollout_endpoint.client import Pace, RolloutClient
from cleartrace.agents.rollout_endpoint.journal import Journal
from cleartrace.agents.rollout_endpoint.server import build_app
from cleartrace.agents.rollout_endpoint.service import RolloutService, Rules
from cleartrace.agents.rollout_endpoint.store import FolderStore
from cleartrace.context.providers import Empty
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.episodes.types import Context, Episode, Outcome, Task, Trajectory

NAMES = ("good", "poor", "slow", "broken", "odd")
TASKS = {id: Task(environment="puppets", id=id, input=f"Be {id}.") for id in NAMES}


class Puppet:
    hash = "puppet"

    def __init__(self) -> None:
        self.runs: list[tuple[str, str, int]] = []
        self.at_once = self.most = 0
        self.release = asyncio.Event()

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        self.runs.append((task.id, context.text, seed))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if task.id == "slow":
                await self.release.wait()
            if task.id == "broken":
                raise EnvironmentFault("the world fell over")
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        run = Trajectory(environment="puppets", task_id=task.id, agent=self.hash, seed=seed, context=context)
        return Episode(trajectory=run, outcome=Outcome(score=0.25 if task.id == "poor" else 1.0))


class Stage:
    """`http` asks the application directly, without a socket. A second `Stage` of a folder is a restart."""

    def __init__(self, folder: Path, agent: Puppet | None = None, token: str | None = None, **rules) -> None:
        self.agent, self.folder = agent or Puppet(), folder
        self.store = FolderStore(folder / "results")
        rules = {"infra_retries": 0, "concurrency": 2, **rules}
        self.service = RolloutService(
            TASKS, lambda block: self.agent, Empty(), self.store, Journal(folder / "journal"), Rules(**rules)
        )
        self.app = build_app(self.service, {"environment": "puppets", "agent": "puppet"}, token)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://stage")

    def client(self, exp_id: str = "exp", **options) -> RolloutClient:
        client = RolloutClient("http://stage", exp_id, **{"pace": Pace(0.01, 0.02, tries=2), **options})
        headers = client._http.headers
        client._http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), headers=headers)
        return client


def payload(task_id: str = "good", session: str | None = "s1", **more) -> dict:
    block = {"exp_id": "exp", "input_id": "i1", "s3_bucket": "bucket"}
    return {"task_id": task_id, "_rollout": {**block, **({"session_id": session} if session else {})}, **more}


def awaited(test):
    """A test that is a coroutine."""

    def run(tmp_path):
        asyncio.run(asyncio.wait_for(test(tmp_path), 60))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
