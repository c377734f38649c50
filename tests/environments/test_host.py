"""An environment in a process: on time, replaced when it dies, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cleartrace.environments.host import Host
from cleartrace.environments.protocol import Action, EnvironmentFault
from cleartrace.environments.worker import TimeLimit
from cleartrace.episodes.types import Usage
from cleartrace.llm.protocol import BudgetExhausted, Message, Reply, Request, Role, ToolCall

NAME = f"{Path(__file__).parent / 'troublesome.py'}:Troublesome"
WIN = Action(calls=(ToolCall(id="c", name="win", arguments={}),))


class User:
    """A model that answers after a while, and keeps what it was asked."""

    model = "user"

    def __init__(self, wait_s: float = 0.0, error: Exception | None = None) -> None:
        self.wait_s, self.error = wait_s, error
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Reply:
        self.requests.append(request)
        await asyncio.sleep(self.wait_s)
        if self.error:
            raise self.error
        return Reply(message=Message(role="assistant", content=f"heard {request.messages[-1].content}"), usage=Usage())

    async def close(self) -> None: ...


def gone(pid: int) -> bool:
    """Whether no process with this id runs; a zombie that its new parent has not yet reaped does not run."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True


async def until_gone(pid: int) -> bool:
    for _ in range(100):
        if gone(pid):
            return True
        await asyncio.sleep(0.02)
    return False


def pids(log: Path, event: str) -> list[int]:
    return [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith(event)]


def hosted(scenario, **settings):
    async def run():
        async with Host(NAME, **settings) as host:
            return await scenario(host)

    return asyncio.run(run())


async def say(host: Host, text: str, task: str = "t0"):
    async with host.session(task, 0) as session:
        await session.start()
        return await session.act(Action(text=text))


def test_a_session_from_start_to_outcome():
    async def scenario(host: Host):
        assert (host.domain, dict(host.sections)) == ("Nothing good.", {"trouble": "where it comes from"})
        assert [task.id for task in await host.tasks()] == ["t0", "t1", "t2"]
        assert [task.id for task in await host.tasks("train")] == ["t0"]
        assert await host.gold("t2", 0) is None and len(await host.gold("t0", 0) or []) == 2
        async with host.session("t1", 5) as session:
            assert (await session.start()).text.startswith("t1 with seed 5")
            assert not (await session.outcome()).passed
            assert (await session.act(WIN)).results[0].text == "ok"
            return await session.outcome()

    assert hosted(scenario).passed


def test_r22_a_limit_of_a_fifth_of_a_second_is_kept_whatever_the_environment_does():
    async def scenario(host: Host):
        seconds = []
        for trouble in ("sleep 30", "spin"):
            async with host.session("t0", 0) as session:
                await session.start()
                started = time.monotonic()
                with pytest.raises(TimeLimit, match=r"no answer to `act` in 1 s"):
                    await session.act(Action(text=trouble))
            seconds.append(time.monotonic() - started)
        return seconds

    assert max(hosted(scenario, call_limit_s=1)) < 10


def test_an_environment_that_does_not_come_up_is_a_fault_in_time():
    started = time.monotonic()
    with pytest.raises(TimeLimit, match="open"):
        hosted(lambda host: say(host, ""), options={"slow_build_s": 30}, start_limit_s=0.3)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("crash", "last words"),
        ("raise", "ZeroDivisionError: a defect .*troublesome.py"),
        ("value", "ValueError: not about the task"),
        ("fault", "the sandbox is full"),
        ("forge", "no protocol"),
    ],
)
def test_what_goes_wrong_is_a_fault_with_its_reason_and_the_next_session_works(trouble, words):
    async def scenario(host: Host):
        with pytest.raises(EnvironmentFault, match=words):
            await say(host, trouble)
        assert (await say(host, "print")).text == "printed"

    hosted(scenario)


def test_what_a_package_prints_and_reads_stays_away_from_the_line_and_any_text_passes():
    async def scenario(host: Host):
        assert (await say(host, "print")).text == "printed"
        assert (await say(host, "read")).text == "''"
        assert (await say(host, "surrogate")).text == "half a pair: \ud800"

    hosted(scenario)


def test_r23_sessions_are_closed_on_exceptions_and_an_environment_is_built_once(tmp_path):
    log = tmp_path / "log"

    async def scenario(host: Host):
        for _ in range(3):
            with pytest.raises(KeyError):
                async with host.session("t0", 0) as session:
                    await session.start()
                    raise KeyError("in the agent")

    hosted(scenario, options={"log": str(log)})
    assert len(pids(log, "build")) == 1
    assert len(pids(log, "start")) == len(pids(log, "close")) == 3


def test_a_cancelled_session_costs_its_process_and_nothing_else(tmp_path):
    log = tmp_path / "log"

    async def scenario(host: Host):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(say(host, "spin"), 2)
        assert await until_gone(pids(log, "start")[0])
        await say(host, "print")

    hosted(scenario, options={"log": str(log)})
    assert len(set(pids(log, "build"))) == 2


def test_sessions_run_beside_each_other_in_as_many_processes_as_allowed(tmp_path):
    log = tmp_path / "log"

    async def scenario(host: Host):
        await asyncio.gather(*(say(host, "sleep 0.05") for _ in range(6)))

    hosted(scenario, options={"log": str(log)}, processes=2)
    assert len(pids(log, "build")) == 2 and len(pids(log, "close")) == 6


def test_a_process_is_replaced_after_so_many_sessions(tmp_path):
    log = tmp_path / "log"

    async def scenario(host: Host):
        for _ in range(3):
            await say(host, "")

    hosted(scenario, options={"log": str(log)}, sessions_per_process=1)
    assert len(pids(log, "start")) == 3 == len(set(pids(log, "start")))


def test_r24_children_end_with_their_process_and_a_foreign_listener_survives():
    foreign = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    listener = socket.create_server(("127.0.0.1", 0))
    try:

        async def scenario(host: Host):
            child = int((await say(host, "child")).text)
            other = None
            with pytest.raises(TimeLimit):
                async with host.session("t0", 0) as session:
                    await session.start()
                    other = int((await session.act(Action(text="child"))).text)
                    await session.act(Action(text="spin"))
            assert other is not None and await until_gone(other) and await until_gone(child)

        hosted(scenario, call_limit_s=0.5)
        assert foreign.poll() is None
        socket.create_connection(listener.getsockname(), timeout=1).close()
    finally:
        foreign.kill()
        foreign.wait()
        listener.close()


def test_no_process_outlives_its_host(tmp_path):
    log = tmp_path / "log"

    async def scenario(host: Host):
        await asyncio.gather(*(say(host, "child") for _ in range(2)))
        return os.getpid()

    hosted(scenario, options={"log": str(log)})
    assert all(gone(pid) for pid in pids(log, "build"))


def test_a_host_that_is_killed_takes_its_processes_with_it(tmp_path):
    log = tmp_path / "log"
    script = f"""
import asyncio
from cleartrace.environments.host import Host
from cleartrace.environments.protocol import Action
async def main():
    host = await Host({NAME!r}, {{"log": {str(log)!r}}}).open()
    async with host.session("t0", 0) as session:
        await session.start()
        print("spinning", flush=True)
        await session.act(Action(text="spin"))
asyncio.run(main())
"""
    root = str(Path(__file__).parents[2])
    env = os.environ | {"PYTHONPATH": root}
    parent = subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"spinning\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert asyncio.run(until_gone(pids(log, "build")[0]))


def test_a_simulated_user_is_a_call_of_its_own_role_and_its_time_is_not_the_environments():
    user = User(wait_s=0.6)
    seen = hosted(lambda host: say(host, "ask anybody here?"), user=user, call_limit_s=0.4)
    assert seen.text == "heard anybody here?"
    assert [(request.role, request.seed) for request in user.requests] == [(Role.USER, 0)]


def test_what_the_users_model_raises_reaches_the_caller():
    with pytest.raises(BudgetExhausted, match="100 calls"):
        hosted(lambda host: say(host, "ask x"), user=User(error=BudgetExhausted("100 calls")))


def test_an_environment_that_needs_a_user_says_so_before_the_first_task():
    with pytest.raises(ValueError, match=r"simulates a user and needs a model: Host\(\.\.\., user=llm\)"):
        hosted(lambda host: host.tasks(), options={"needs_user": True})


def test_unknown_tasks_and_options_are_errors_of_the_caller(tmp_path):
    log = tmp_path / "log"

    async def scenario(host: Host):
        with pytest.raises(ValueError, match="no task is called 't9'"):
            await say(host, "", task="t9")
        await say(host, "")

    hosted(scenario, options={"log": str(log)})
    assert len(pids(log, "build")) == 1
    with pytest.raises(ValueError, match="no option 'lok'; did you mean 'log'"):
        hosted(lambda host: host.tasks(), options={"lok": "x"})


def test_another_interpreter_sees_nothing_of_this_ones_folders(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere/of/ours")
    where = hosted(lambda host: say(host, "path"), python=sys.executable).text.split("\n")
    assert where[0] == "" and "/somewhere/of/ours" not in where


def test_a_missing_interpreter_is_a_fault():
    with pytest.raises(EnvironmentFault, match="does not start"):
        hosted(lambda host: host.tasks(), python="/no/such/python")


@pytest.mark.parametrize("text", ["sleep 30", "ask x"])
def test_a_session_at_work_when_its_host_is_closed_fails_as_its_environment_does(text):
    async def scenario():
        host = await Host(NAME, user=User(wait_s=0.5)).open()
        work = asyncio.create_task(say(host, text))
        await asyncio.sleep(0.3)
        await host.close()
        with pytest.raises(EnvironmentFault, match="its process was ended"):
            await work

    asyncio.run(scenario())


def test_the_host_is_closed_once_and_for_all():
    async def scenario():
        host = await Host(NAME).open()
        assert "troublesome" in host.identity
        await host.close()
        await host.close()
        with pytest.raises(RuntimeError, match="closed"):
            await host.gold("t0", 0)

    asyncio.run(scenario())
    with pytest.raises(RuntimeError, match="open"):
        _ = Host(NAME).domain
