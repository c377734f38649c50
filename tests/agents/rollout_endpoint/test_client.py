"""The client against our endpoint and against others', and as an agent of a runner."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from benchmarks.loopback import Answer, Asked, Loopback
from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.rollout_endpoint.client import Pace, RolloutClient, RolloutFault, RolloutRefused
from cleartrace.agents.rollout_endpoint.remote import RemoteAgent
from cleartrace.agents.rollout_endpoint.types import Result
from cleartrace.agents.runner import Runner
from cleartrace.context.providers import Empty, Static
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import FailureKind
from tests.agents.rollout_endpoint.puppet import TASKS, Puppet, Stage, awaited

pytest.importorskip("starlette")


@awaited
async def test_a_batch_gives_results_in_order_and_says_what_went_wrong(tmp_path: Path):
    stage = Stage(tmp_path, concurrency=3)
    client = stage.client(calls_per_s=1000)
    names = ["good", "poor", "broken", "nobody"]
    found = await client.batch([{"task_id": name, "input_id": name} for name in names], max_concurrent=2)
    good, poor, broken, nobody = found
    assert isinstance(good, Result) and good.rewards == [1.0] and isinstance(poor, Result) and poor.rewards == [0.25]
    assert isinstance(broken, Result) and broken.failed and broken.rewards is None
    assert isinstance(nobody, RolloutRefused) and "no task 'nobody'" in str(nobody)


@awaited
async def test_calls_keep_to_the_rate(tmp_path: Path):
    client = Stage(tmp_path).client(calls_per_s=50)
    started = time.monotonic()
    await asyncio.gather(*(client.invoke("good", f"i{n}") for n in range(11)))
    assert time.monotonic() - started >= 10 / 50


@awaited
async def test_who_stops_waiting_ends_the_rollout(tmp_path: Path):
    stage = Stage(tmp_path)
    future = await stage.client().invoke("slow", "i")
    with pytest.raises(asyncio.TimeoutError):
        await future.result(timeout_s=0.05)
    while stage.agent.at_once or not await future.done():
        await asyncio.sleep(0.01)
    assert (await future.result()).failed
    batch = asyncio.ensure_future(stage.client("second").batch([{"task_id": "slow", "input_id": "j"}]))
    while not stage.agent.at_once:
        await asyncio.sleep(0.01)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    while stage.agent.at_once:
        await asyncio.sleep(0.01)


@awaited
async def test_a_runner_collects_remote_rollouts_with_context_and_seed(tmp_path: Path):
    stage, store = Stage(tmp_path / "there", concurrency=4), EpisodeStore(tmp_path / "here")
    agent = await RemoteAgent.at(stage.client(calls_per_s=1000))
    requests = [RunRequest(TASKS[id], seed, provider) for id in ("good", "poor") for seed in (1, 2)
                for provider in (Static("Work with care."), Empty())]  # fmt: skip
    episodes = await Runner(agent, store).run(requests)
    assert [one.outcome.score for one in episodes] == [1.0] * 4 + [0.25] * 4
    assert sorted(stage.agent.runs) == sorted(
        (id, text, seed) for id in ("good", "poor") for seed in (1, 2) for text in ("Work with care.", "")
    )
    assert {one.trajectory.agent for one in episodes} == {agent.hash} and len(store) == 8
    assert [one.trajectory.context.text for one in episodes][:2] == ["Work with care.", ""]
    await Runner(await RemoteAgent.at(stage.client()), EpisodeStore(tmp_path / "new")).run(requests)
    assert len(stage.agent.runs) == 8, "what was finished there is picked up"


@awaited
async def test_a_spoiled_rollout_keeps_its_blame_and_is_made_again_when_asked_again(tmp_path: Path):
    stage = Stage(tmp_path)
    agent = RemoteAgent(stage.client())
    (episode,) = await Runner(agent, infra_retries=1, retry_wait_s=0).run([RunRequest(TASKS["broken"], 0, Empty())])
    assert episode.outcome.score is None and episode.outcome.failure.kind is FailureKind.SANDBOX
    assert len(stage.agent.runs) == 2


@awaited
async def test_a_time_limit_here_ends_the_rollout_there(tmp_path: Path):
    stage = Stage(tmp_path)
    agent = RemoteAgent(stage.client())
    (episode,) = await Runner(agent, time_limit_s=0.3).run([RunRequest(TASKS["slow"], 0, Empty())])
    assert episode.outcome.failure.kind is FailureKind.TIME_LIMIT and episode.outcome.score == 0.0
    for _ in range(300):
        if not stage.agent.at_once:
            break
        await asyncio.sleep(0.01)
    assert stage.agent.runs and not stage.agent.at_once


def others(asked: Asked) -> Answer:
    """An endpoint that knows the contract and nothing of ours: results lie in its store."""
    if asked.path == "/invocations":
        block = asked.body["_rollout"]
        key = (
            f"{block['exp_id']}/{block['input_id']}_{asked.headers['x-amzn-bedrock-agentcore-runtime-session-id']}.json"
        )
        return Answer({"status": "processing", "s3_bucket": block["s3_bucket"], "result_key": key})
    return Answer({"detail": "not here"}, 404)


class Theirs:
    """Their store: the second look finds a result."""

    def __init__(self, *results: str) -> None:
        self.results, self.looked = iter(results), 0

    def put(self, place, content): ...

    def get(self, place):
        self.looked += 1
        return None if self.looked % 2 else next(self.results).encode()


@pytest.mark.parametrize(
    ("result", "score", "kind"),
    [
        ('{"rewards": [0.1, 0.75], "status_code": 200, "rollout_data": [1]}', 0.75, None),
        ('{"rewards": 1.0, "status_code": 200}', 1.0, None),
        ('{"status_code": 500, "stop_reason": "boom", "traceback": "..."}', None, FailureKind.ENGINE),
        ('{"rewards": [7.0], "status_code": 200}', None, FailureKind.ENGINE),
        ('{"rewards": [], "status_code": 200}', None, FailureKind.ENGINE),
        ("[]", None, FailureKind.SANDBOX),
    ],
)
def test_endpoints_of_others_plug_in_as_well(result: str, score: float | None, kind: FailureKind | None):
    with Loopback(others) as loopback:

        async def go():
            params = {"base_url": "http://127.0.0.1:9/v1", "model_id": "m", "sampling_params": {"temperature": 0.5}}
            client = RolloutClient(loopback.url, "exp", store=Theirs(result), pace=Pace(0.01), **params)
            async with client:
                request = RunRequest(TASKS["good"], 3, Static("Care."))
                return await Runner(RemoteAgent(client), infra_retries=0).run([request])

        (episode,) = asyncio.run(go())
        block = loopback.asked[0].body["_rollout"]
    assert (
        block.items()
        >= {"base_url": "http://127.0.0.1:9/v1", "model_id": "m", "sampling_params": {"temperature": 0.5}}.items()
    )
    assert loopback.asked[0].body["context"]["text"] == "Care." and loopback.asked[0].body["seed"] == 3
    assert episode.outcome.score == score
    assert (episode.outcome.failure.kind if episode.outcome.failure else None) is kind


def test_calls_that_fail_for_a_while_are_made_again_and_others_are_not():
    answers = iter([Answer({"detail": "busy"}, 429), Answer({"detail": "down"}, 503)])
    with Loopback(lambda asked: next(answers, None) or others(asked)) as loopback:

        async def go(**options):
            async with RolloutClient(loopback.url, "e", pace=Pace(0.01, tries=3), **options) as client:
                return await client.invoke("good", "i")

        assert asyncio.run(go()).place.result_key.startswith("e/i_")
        assert len(loopback.asked) == 3
        sessions = {asked.body["_rollout"]["session_id"] for asked in loopback.asked}
        assert len(sessions) == 1, "a second try is the same rollout"
    with pytest.raises(RolloutFault, match="POST http"):
        asyncio.run(go())


@awaited
async def test_the_puppet_is_watched(tmp_path: Path):
    """What other tests conclude from the counter of runs at work holds."""
    puppet = Puppet()
    task = asyncio.ensure_future(puppet.run(TASKS["slow"], Static("")._context, 0))
    await asyncio.sleep(0)
    assert puppet.at_once == 1
    puppet.release.set()
    await task
    assert puppet.at_once == 0
