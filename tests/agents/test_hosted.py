"""Tool loop and runner on an environment in processes of its own."""

import asyncio
import os
import time
from pathlib import Path

from drawers import Drawers, Fixed, call, calls

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Runner
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.environments.host import Host
from cleartrace.environments.inprocess import InProcess
from cleartrace.episodes.types import FailureKind, Trajectory
from cleartrace.llm.scripted import Scripted

HERE = f"{Path(__file__).parent / 'drawers.py'}:Drawers"


def solves(request):
    opened = any(message.role == "tool" for message in request.messages)
    return calls(call("done" if opened else "open", {"n": 3}))


def requests(tasks, provider=None):
    return [RunRequest(task, 0, provider or Fixed()) for task in tasks]


def children() -> set[str]:
    """Processes whose parent is this one."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.add(entry)
    return found


def test_a10_a_stuck_environment_process_costs_its_run_and_is_ended():
    """A run that hangs for 30 s is back on time and scores 0; the others are unharmed, and no process is left."""
    before = children()

    async def act():
        async with Host(HERE, {"fail": ["act", 30.0], "only": "d1"}, processes=2) as host:
            tasks = await host.tasks()
            await Runner(ToolLoopAgent(Scripted(solves), host), concurrency=2).run(requests(tasks[2:]))
            started = time.monotonic()
            agent = ToolLoopAgent(Scripted(solves), host)
            found = await Runner(agent, time_limit_s=1.0, concurrency=1).run(requests(tasks[1:2]))
            took = time.monotonic() - started
            return found + await Runner(agent).run(requests(tasks[:1])), took

    (stuck, well), took = asyncio.run(act())
    assert took < 10
    assert stuck.outcome.failure is not None and stuck.outcome.failure.kind is FailureKind.TIME_LIMIT
    assert stuck.outcome.score == 0.0 and stuck.trajectory.turns == 1
    assert well.outcome.score == 1.0
    assert children() <= before


def test_a2_an_environment_in_a_process_gives_the_record_that_one_in_this_process_gives():
    def record(trajectory: Trajectory) -> dict:
        return trajectory.model_dump(mode="json") | {"seconds": 0.0, "agent": ""}

    async def both():
        here = InProcess(Drawers(), threads=False)
        async with Host(HERE) as there:
            made = [
                (await Runner(ToolLoopAgent(Scripted(solves), host)).run(requests(await host.tasks())))
                for host in (here, there)
            ]
        return [[record(one.trajectory) for one in episodes] for episodes in made]

    here, there = asyncio.run(both())
    assert here == there and len(here) == 4
