"""The interpreter that keeps its state, in the agent loop, on a real judge (D55)."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from verl.tools import function_tool
from verl.tools.function_tool import FunctionTool

from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE, JUDGE_URL_VARIABLE
from cleartrace_verl.rollout_scope import current_rollout
from code_judge.client import AsyncJudgeClient, JudgeUnavailable
from code_judge.embedded import EmbeddedJudge
from code_judge.session_client import SessionLost, open_session
from tests.verl.rollouts import ROOT, Rolled, call, config_with, roll_out_async

ANSWER = "Answer: \\boxed{3}"
TOOL_FILE = ROOT / "verl/cleartrace_verl/notebook_tool.py"


@pytest.fixture(scope="module")
def tools() -> Iterator[list[FunctionTool]]:
    """The tool of the file, without a trace in veRL's registry, where the stateless one has the same name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function_tool, "FUNCTION_TOOL_REGISTRY", {})
        spec = importlib.util.spec_from_file_location("notebook_tool_of_a_test", TOOL_FILE)
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        yield list(function_tool.FUNCTION_TOOL_REGISTRY.values())


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedJudge]:
    with EmbeddedJudge(log_dir=tmp_path_factory.mktemp("judge"), workers=2) as running:
        yield running


@pytest.fixture
def here(judge: EmbeddedJudge, monkeypatch: pytest.MonkeyPatch) -> EmbeddedJudge:
    monkeypatch.setenv(JUDGE_URL_VARIABLE, judge.url)
    monkeypatch.setenv(JUDGE_TOKEN_VARIABLE, judge.token or "")
    return judge


def roll_all(tools: list[FunctionTool], *scripts: list[str], **saar) -> list[Rolled]:
    async def go() -> list[Rolled]:
        config = config_with({"policy": "replace", **saar}, {"max_parallel_calls": 4})
        rolls = [roll_out_async([*turns, ANSWER], config=config, tools=tools) for turns in scripts]
        return list(await asyncio.gather(*rolls))

    return asyncio.run(go())


def shown(rolled: Rolled) -> list[str]:
    return [c.text for c in rolled.record.tool_calls]


def test_names_are_kept_within_a_rollout_and_not_between_two(here, tools):
    one, two = roll_all(tools, [call("x = 5"), call("print(x + 1)")], [call("print('x' in globals())")])
    assert "stdout: 6" in shown(one)[1] and "stdout: False" in shown(two)[0]
    assert "Names are kept" in str(one.schemas)


def test_a_rolled_back_call_leaves_no_trace_in_later_ones(here, tools):
    """The repair starts from the state before the failed call, as the trajectory it is spliced into says."""
    failing = "x = 99\nnothing"
    (rolled,) = roll_all(tools, [call("x = 5"), call(failing), call("x += 1\nprint(x)"), call("print(x)")])
    assert [c.status for c in rolled.record.tool_calls] == ["ok", "program_error", "ok", "ok"]
    assert "stdout: 6" in shown(rolled)[2] and "stdout: 6" in shown(rolled)[3]
    assert rolled.record.repairs[0].outcome == "recovered"


def test_calls_of_one_turn_run_in_the_order_written(here, tools):
    turn = "\n".join(call(f"order = globals().get('order', []) + [{n}]\nprint(order)", "") for n in range(3))
    (rolled,) = roll_all(tools, [turn])
    assert ["stdout: [0]" in shown(rolled)[0], "stdout: [0, 1, 2]" in shown(rolled)[2]] == [True, True]


def test_the_session_ends_with_the_rollout(here, tools):
    roll_all(tools, [call("x = 1")])
    headers = {"Authorization": f"Bearer {here.token}"}
    deadline = time.monotonic() + 5
    while (left := httpx.get(f"{here.url}/status", headers=headers).json()["sessions"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == 0


@pytest.mark.parametrize("victim", ["os.getppid()", "os.getpid()"])
def test_a_call_that_ends_the_interpreter_has_failed_and_masks_nothing(here, tools, victim: str):
    """Else a policy could leave its failures out of training."""
    ending = f"import os, time\nos.kill({victim}, 9)\ntime.sleep(2)"
    (rolled,) = roll_all(tools, [call("x = 5"), call(ending), call("print('x' in globals())"), call("print(7)")])
    assert "infra_error" not in [c.status for c in rolled.record.tool_calls] and not rolled.record.masked
    assert "stdout: 7" in shown(rolled)[-1]


def test_a_lost_judge_is_nobodys_mistake(monkeypatch, tools):
    monkeypatch.setenv(JUDGE_URL_VARIABLE, "http://127.0.0.1:9")
    config = config_with({"policy": "replace"})
    rolled = asyncio.run(roll_out_async([call("print(1)")], config=config, tools=tools))
    assert rolled.record.masked and rolled.record.tool_calls[0].status == "infra_error"


def test_outside_of_a_rollout_the_tool_says_where_it_works():
    with pytest.raises(RuntimeError, match="saar_agent"):
        current_rollout()


def test_the_session_client(here):
    async def go() -> None:
        async with AsyncJudgeClient(here.url, here.token) as client:
            session = await open_session(client, idle_s=30)
            assert (await session.run("a = 1\na + 1")).stdout == "2\n"
            branch = await session.fork()
            await branch.run("a = 10")
            assert (await session.run("a")).stdout == "1\n" and (await branch.run("a")).stdout == "10\n"
            await session.reset()
            assert (await session.run("a")).error_class == "NameError"
            await branch.close()
            await session.close()
            await session.close()
            with pytest.raises(SessionLost):
                await session.run("1")

    asyncio.run(go())


def test_a_full_judge_is_waited_for_and_then_named(tmp_path: Path):
    async def go(judge: EmbeddedJudge) -> None:
        async with AsyncJudgeClient(judge.url, judge.token) as client:
            first = await open_session(client)
            with pytest.raises(JudgeUnavailable, match="429"):
                await open_session(client, deadline_s=0.5)
            waiting = asyncio.create_task(open_session(client, deadline_s=20))
            await asyncio.sleep(0.3)
            await first.close()
            await (await waiting).close()

    with EmbeddedJudge(tmp_path, workers=1, environment={"CODE_JUDGE_MAX_SESSIONS": "1"}) as judge:
        asyncio.run(go(judge))
