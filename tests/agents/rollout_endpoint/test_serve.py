"""`cleartrace rollout-serve` as it runs: a real environment, its agent, and models that requests bring."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from benchmarks.loopback import Answer, Loopback
from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.rollout_endpoint.agents import Agents
from cleartrace.agents.rollout_endpoint.client import Pace, RolloutClient
from cleartrace.agents.rollout_endpoint.command import Options, serve
from cleartrace.agents.rollout_endpoint.remote import RemoteAgent
from cleartrace.agents.rollout_endpoint.types import Block
from cleartrace.agents.runner import Runner
from cleartrace.agents.workplace import AgentConfig
from cleartrace.cli import app
from cleartrace.context.providers import Empty, Static
from cleartrace.environments.inprocess import InProcess
from cleartrace.environments.ruleworld import RuleWorld

pytest.importorskip("starlette")
WORLD = RuleWorld()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint on the rule world, in a thread; it gives context to those that bring none."""
    folder = tmp_path_factory.mktemp("rollouts")
    (folder / "advice.txt").write_text("Sort with care.")
    ready, found = threading.Event(), {}

    def started(address: str, stop: Callable[[], None]) -> None:
        found.update(url=address, stop=stop)
        ready.set()

    options = Options(folder, context=f"static:{folder}/advice.txt", port=0)
    given = {"environment": "ruleworld", "max_workers": 2}
    thread = threading.Thread(target=lambda: asyncio.run(serve(given, options, started)), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield found["url"]
    found["stop"]()
    thread.join(20)
    assert not thread.is_alive()


def client(url: str, exp_id: str, **options) -> RolloutClient:
    return RolloutClient(url, exp_id, pace=Pace(0.02, 0.1), **options)


def test_remote_runs_of_the_simulated_agent_are_those_it_makes_here(url: str):
    order = next(one for one in WORLD.world.orders("train") if one.needs)
    rules = Static("\n".join(rule.text for rule in order.needs))
    requests = [RunRequest(order.task, seed, provider) for seed in range(3) for provider in (rules, Empty())]

    async def both():
        from cleartrace.environments.ruleworld import SimulatedAgent

        async with client(url, "same") as remote:
            there = await Runner(await RemoteAgent.at(remote)).run(requests)
        return there, await Runner(SimulatedAgent(WORLD.world)).run(requests)

    there, here = asyncio.run(both())
    assert [one.outcome for one in there] == [one.outcome for one in here]
    assert [one.trajectory.output for one in there] == [one.trajectory.output for one in here]
    assert len({one.trajectory.agent for one in there}) == 1


def test_a_request_brings_its_model_and_its_sampling_and_gets_the_endpoints_context(url: str):
    def model(asked):
        choice = {"index": 0, "message": {"role": "assistant", "content": "D0"}, "finish_reason": "stop"}
        return Answer({"id": "1", "object": "chat.completion", "model": "p", "choices": [choice]})

    task = WORLD.tasks("train")[0]
    with Loopback(model) as endpoint:

        async def go():
            sampling = {"temperature": 0.3, "max_tokens": 64, "top_p": 0.9}
            more = {"base_url": f"{endpoint.url}/v1", "model_id": "policy", "sampling_params": sampling}
            async with client(url, "models", **more) as remote:
                return await (await remote.invoke(task.id, "i", seed=11)).result(60)

        result = asyncio.run(go())
        asked = endpoint.asked[0].body
    assert result.status_code == 200 and result.episode is not None
    assert asked.items() >= {"model": "policy", "temperature": 0.3, "max_tokens": 64, "top_p": 0.9, "seed": 11}.items()
    assert asked["messages"][0]["content"].endswith("Sort with care.")
    assert result.episode.trajectory.context.text == "Sort with care."
    assert httpx.get(f"{url}/status").json()["environment"].startswith('["ruleworld"')


def test_keys_of_this_machine_go_to_allowed_addresses_alone():
    config = AgentConfig.checked({"environment": "ruleworld"})
    connected = []

    def connect(spec: str, **options):
        connected.append((spec, options))
        from cleartrace.llm.scripted import Scripted

        return Scripted([], spec)

    agents = Agents(None, config, InProcess(WORLD), connect, ["http://10.0.0.5:8000"])
    ids = {"exp_id": "e", "input_id": "i", "s3_bucket": "b"}

    def wanted(**model) -> object:
        return agents(Block(**ids, **model))

    for address in (
        "http://evil.example/v1",
        "http://10.0.0.5:80001/v1",
        "ftp://127.0.0.1/v1",
        "http://10.0.0.5:8000@evil/v1",
    ):
        with pytest.raises(ValueError, match="may not be used from here"):
            wanted(base_url=address, model_id="m")
    assert wanted(base_url="http://10.0.0.5:8000/v1/", model_id="m") is wanted(
        base_url="http://10.0.0.5:8000/v1/", model_id="m"
    )
    wanted(base_url="http://127.0.0.1:5/v1", model_id="m")
    assert [spec for spec, _ in connected] == ["openai/m@http://10.0.0.5:8000/v1", "openai/m@http://127.0.0.1:5/v1"]
    for model, said in (({}, "name a model"), ({"base_url": "http://127.0.0.1:5"}, "model_id beside it"),
                        ({"sampling_params": {"top_p": 1}}, "name a model"),
                        ({"model_id": "m", "sampling_params": {"max_tokens": "x"}}, "whole number")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            wanted(**model)


def test_an_endpoint_with_a_model_of_its_own_gives_it_to_requests_without():
    config = AgentConfig.checked({"environment": "ruleworld", "model": "openai/own@http://127.0.0.1:5/v1"})
    specs = []

    def connect(spec: str, **options):
        from cleartrace.llm.scripted import Scripted

        specs.append((spec, options))
        return Scripted([], f"{spec} {options}")

    agents = Agents(None, config, InProcess(WORLD), connect)
    ids = {"exp_id": "e", "input_id": "i", "s3_bucket": "b"}
    assert agents(Block(**ids)).hash == agents.hash != agents(Block(**ids, sampling_params={"top_p": 0.5})).hash
    assert specs == [(config.model, {}), (config.model, {"extra": {"top_p": 0.5}})]


def test_what_cannot_be_served_is_said_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CLEARTRACE_ROLLOUT_TOKEN", raising=False)
    for words, said in (
        (["ruleworld", "--host", "0.0.0.0"], "CLEARTRACE_ROLLOUT_TOKEN"),
        (["ruleworld", "--results", "ftp://x"], "s3://BUCKET"),
        (["ruleword"], "did you mean 'ruleworld'"),
        (["ruleworld", "--context", "nome"], "the nearest is none"),
    ):
        done = CliRunner().invoke(app, ["rollout-serve", *words, "--out", str(tmp_path), "--port", "0"])
        assert done.exit_code == 2 and said in done.output, done.output
