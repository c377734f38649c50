"""Settings of an agent: each changes what is run, or is refused (R18)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.loopback import Answer, Loopback
from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.workplace import NEEDS_MODEL, AgentConfig, WorkplaceError, open_workplace
from cleartrace.context.providers import Empty
from cleartrace.episodes.types import Context, Episode, FailureKind, Outcome, Task, Trajectory
from cleartrace.llm.protocol import BudgetExhausted

# field -> what the second of two workplaces has besides
EFFECTS = {
    "environment_options": {"environment_options": {"seed": 3}},
    "model": {"model": "openai/other"},
    "call_style": {"call_style": "text"},
    "temperature": {"temperature": 0.7},
    "thinking_level": {"thinking_level": "high"},
    "max_output_tokens": {"max_output_tokens": 99},
    "max_steps": {"max_steps": 1},
    "prices": {"prices": "prices.yaml"},
    "max_calls": {"max_calls": 1},
    "max_tokens": {"max_tokens": 5},
    "max_cost": {"prices": "prices.yaml", "max_cost": 1e-9},
}
ELSEWHERE = {
    "environment": "tests/environments",
    "user_model": "tests/environments/test_host.py",
    "task_timeout": "below, on an agent that takes its time",
    "max_workers": "below, on an agent that counts",
}


def served(asked: object) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": "D0"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    return Answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    """One for all runs: an agent's hash knows its address."""
    with Loopback(served) as server:
        yield server


def what_it_did(server: Loopback, settings: dict[str, Any]) -> tuple[object, ...]:
    """Two runs of a served model on the rule world."""
    given = {"environment": "ruleworld", "max_workers": 1, "model": "openai/m", **settings}
    server.asked.clear()

    async def run() -> tuple[object, ...]:
        config = AgentConfig.checked({**given, "model": f"{given['model']}@{server.url}/v1"})
        async with AsyncExitStack() as stack:
            place = await open_workplace(config, None, stack)
            requests = [RunRequest(task, 1, Empty()) for task in place.split("test")[:2]]
            try:
                said = [one.outcome.failure for one in await place.runner.run(requests)]
            except BudgetExhausted as error:
                said = str(error)
            return place.agent.hash, said, place.budget.ledger.total.cost

    return *asyncio.run(run()), [asked.body for asked in server.asked]


@pytest.fixture
def _prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prices.yaml").write_text("openai/m: {input: 1, output: 2}")


@pytest.mark.usefixtures("_prices")
@pytest.mark.parametrize("field", EFFECTS)
def test_r18_each_setting_changes_what_is_run(server: Loopback, field: str) -> None:
    both = {"prices": "prices.yaml"} if field == "max_cost" else {}
    assert what_it_did(server, EFFECTS[field]) != what_it_did(server, both) == what_it_did(server, both)


def test_r18_no_setting_of_an_agent_is_left_out() -> None:
    assert {*EFFECTS, *ELSEWHERE} == set(AgentConfig.model_fields)


class Slow:
    """Takes 50 ms, and counts how many of its runs are under way."""

    hash = "slow"

    def __init__(self) -> None:
        self.now = self.most = 0

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1
        return Episode(trajectory=Trajectory(environment="", task_id="", agent=""), outcome=Outcome(score=1.0))


@pytest.mark.parametrize("workers", [1, 3])
def test_r18_no_more_runs_at_once_than_workers(workers: int) -> None:
    assert slow_runs({"max_workers": workers})[1] == workers


def test_r18_a_run_ends_at_its_limit_of_time() -> None:
    assert [one.outcome.score for one in slow_runs({})[0]] == [1.0] * 6
    failures = [one.outcome.failure for one in slow_runs({"task_timeout": 0.01})[0]]
    assert {failure.kind if failure else None for failure in failures} == {FailureKind.TIME_LIMIT}


def slow_runs(settings: dict[str, float]) -> tuple[list[Episode], int]:
    """Six runs in the simulated agent's workplace, and how many were under way at most."""

    async def run() -> tuple[list[Episode], int]:
        async with AsyncExitStack() as stack:
            place = await open_workplace(AgentConfig.checked({"environment": "ruleworld", **settings}), None, stack)
            place.runner.agent = agent = Slow()
            episodes = await place.runner.run([RunRequest(task, 1, Empty()) for task in place.split("test")[:6]])
            return episodes, agent.most

    return asyncio.run(run())


@pytest.mark.parametrize("field", NEEDS_MODEL)
def test_r18_what_needs_a_model_is_refused_without(field: str) -> None:
    value = {"user_model": "openai/user"}.get(field) or EFFECTS[field][field]
    with pytest.raises(WorkplaceError, match=f"{field}: no effect on ruleworld without a model"):
        AgentConfig.checked({"environment": "ruleworld", field: value})
    assert AgentConfig.checked({"environment": "ruleworld", "model": "openai/m", field: value})


def test_a_setting_at_its_default_is_no_setting() -> None:
    assert AgentConfig.checked({"environment": "ruleworld", "max_steps": 100}).simulated
