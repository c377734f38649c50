"""A26 over HTTP: a real service on loopback, a real client, and a real agent of the rule world."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cleartrace.agents.workplace import AgentConfig, WorkplaceError
from cleartrace.cli import app
from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.learn.clear.reward import compute_score as shim
from cleartrace.learn.clear.reward.client import Misconfigured, RewardClient, ServiceMissing, ask_of
from cleartrace.learn.clear.reward.names import TOKEN_VARIABLE, URL_VARIABLE
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.server import ServeOptions, build_app, serving
from cleartrace.learn.clear.reward.types import Ask, Graded
from tests.learn.clear.reward.samples import TASK, Puppet, ask, awaited, service

WORLD = RuleWorld()
CONFIG = AgentConfig.checked({"environment": "ruleworld"})


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    options = ServeOptions(tmp_path_factory.mktemp("runs"), token="secret")
    with serving(CONFIG, RewardRules(seed_pool=1, runs=4), options) as url:
        yield url
    assert URL_VARIABLE not in os.environ and TOKEN_VARIABLE not in os.environ


def needy():
    """A task that is solved with its rules and hardly without."""
    world = WORLD.world
    return next(one for one in world.orders("train") if one.needs and world.success(one.task, "") < 0.1)


@awaited
async def test_a26_concurrent_requests_of_one_prompt_and_their_cache(url):
    order = needy()
    texts = ["\n".join(rule.text for rule in order.needs), "Work with care.", "NONE"]
    client = RewardClient(url, "secret")
    graded = await asyncio.gather(*(client.grade(Ask(task=order.task, guidance=text)) for text in texts * 3))
    await client.close()
    expected = [WORLD.world.success(order.task, text.replace("NONE", "")) for text in texts]
    assert expected[0] > 0.5 > expected[1]
    assert graded[0].score > max(graded[1].score, graded[2].score)
    assert graded[:3] == [one.model_copy(update={"hits": 0}) for one in graded[3:6]], "the same answer to the same ask"
    stats = httpx.get(f"{url}/stats", headers={"Authorization": "Bearer secret"}).json()
    assert stats["graded"] == 9 and stats["runs"] - stats["hits"] == 12 and stats["abstained"] == 3


def test_the_plain_contract_of_verl_gives_a_float(url, monkeypatch):
    order = needy()
    text = "\n".join(rule.text for rule in order.needs)
    found = shim.compute_score("clear_guidance", text, order.task.canonical(), {"split": "train"})
    assert isinstance(found, float) and found > 0.5
    monkeypatch.delenv(URL_VARIABLE)
    with pytest.raises(ServiceMissing, match="reward-serve"):
        shim.compute_score("clear_guidance", text, order.task.canonical())


def test_everything_but_health_wants_the_token(url):
    assert httpx.get(f"{url}/health").json()["status"] == "ok"
    for answer in (httpx.get(f"{url}/stats"), httpx.post(f"{url}/score", json={})):
        assert answer.status_code == 401
    assert httpx.post(f"{url}/score", json={}, headers={"Authorization": "Bearer secret"}).status_code == 422


@awaited
async def test_what_no_waiting_mends_is_an_error_and_no_grade(url):
    for client, asked in ((RewardClient(url), ask("x")), (RewardClient(url, "secret"), ask("x"))):
        with pytest.raises(Misconfigured, match="the bearer token is missing|no task pay of world"):
            await client.grade(asked)
        await client.close()


class _Restarting(BaseHTTPRequestHandler):
    """Away for two requests, then there."""

    asked = 0

    def do_POST(self):
        type(self).asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        body = Graded(reward=1.0, score=1.0).model_dump_json().encode()
        self.send_response(200 if self.asked > 2 else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@awaited
async def test_a26_the_client_waits_for_a_service_that_restarts(monkeypatch):
    monkeypatch.setattr("cleartrace.learn.clear.reward.client._FIRST_WAIT_S", 0.01)
    server = HTTPServer(("127.0.0.1", 0), _Restarting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = RewardClient(f"http://127.0.0.1:{server.server_port}")
    assert (await client.grade(ask("x"))).reward == 1.0 and _Restarting.asked == 3
    await client.close()
    server.shutdown()
    server.server_close()


@awaited
async def test_a26_a_service_that_stays_away_leaves_the_guidance_ungraded():
    client = RewardClient("http://127.0.0.1:9", deadline_s=1)
    graded = await client.grade(ask("x"))
    await client.close()
    assert graded.ungraded and graded.error.startswith("service: ConnectError") and graded.blame == "engine"


def test_an_ungraded_guidance_is_no_0_in_plain_verl(monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(shim.Ungraded, match="pay: service"):
        shim.compute_score("clear_guidance", "x", TASK.canonical(), deadline_s=0.2)


@awaited
async def test_a26_hanging_up_cancels_the_run(tmp_path):
    """The application itself, on a real socket, with an agent that would take 30 s."""
    import uvicorn

    agent = Puppet()
    scorer = service(tmp_path, agent)
    server = uvicorn.Server(uvicorn.Config(build_app(scorer), port=0, log_level="error"))
    serving_it = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = RewardClient(f"http://127.0.0.1:{port}", deadline_s=2)
    graded = await client.grade(ask("slow"))
    assert graded.ungraded and graded.error == "service: no answer within 2 s"
    until = time.monotonic() + 5
    while not scorer.stats.cancelled and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert agent.now == 0 and agent.ended_early == 1 and scorer.stats.cancelled == 1
    await client.close()
    server.should_exit = True
    await serving_it


def test_held_out_rows_have_one_step_so_that_evaluations_compare():
    train, test = (TASK.model_copy(update={"split": split}).canonical() for split in ("train", "test"))
    assert ask_of("x", train, {}, 7).step == 7 and ask_of("x", test, {}, 7).step == 0
    assert ask_of("x", train, {"split": "val"}, 7).step == 0
    with pytest.raises(ValueError, match="write_prompts"):
        ask_of("x", "D4, D5", {}, 7)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere needs a model"),
        (["ruleworld", "--host", "0.0.0.0"], TOKEN_VARIABLE),
        (["ruleworld", "--environment-options", "moon=1"], "moon"),
    ],
)
def test_the_command_says_what_cannot_be_served(tmp_path: Path, arguments, words, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    result = CliRunner().invoke(app, ["clear", "reward-serve", *arguments, "--store", str(tmp_path)])
    assert result.exit_code == 2 and words in " ".join(result.output.split())


def test_a_service_that_cannot_start_says_so(tmp_path):
    config = AgentConfig.checked({"environment": "ruleworld", "environment_options": {"moon": 1}})
    with pytest.raises(WorkplaceError, match="moon"), serving(config, RewardRules(), ServeOptions(tmp_path)):
        raise AssertionError("it runs")
