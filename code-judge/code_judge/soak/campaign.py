"""Chunk after chunk on one service; then the service is stopped, and nothing of it may be left."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from code_judge.attack.arena import HOST_FILES, HOST_FOLDERS
from code_judge.attack.baits import Baits, lay_out
from code_judge.bench.floors import PROGRAM, bare_fork
from code_judge.bench.load import post_all
from code_judge.bench.scenarios import Target
from code_judge.client import AsyncJudgeClient, JudgeUnavailable, RunResult
from code_judge.embedded import EmbeddedJudge
from code_judge.jobs import Outcome
from code_judge.sandbox import proctree
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.levels import Level
from code_judge.soak.holdings import Holdings, shared_objects
from code_judge.soak.mix import Program, attacks_of, chunk, faults
from code_judge.soak.rows import Row

_PATIENCE_S = 600.0
_SETTLE_S = 3.0
"""After a chunk, what was ended in it has gone, and slots that were lost are there again."""
_HELLOS, _CLIENTS = 1000, 8
_WARM_UP = 500
Tell = Callable[[str], None]


def campaign(
    before: Sequence[Row], chunks: int, size: int, share: float, workers: int, left: list[str], tell: Tell
) -> Iterator[Row]:
    """`chunks` more rows after those `before`. `left` receives what stays when the service has stopped."""
    cgroups = CgroupHome.find()
    family: set[int] = set()
    with tempfile.TemporaryDirectory() as logs, EmbeddedJudge(logs, workers) as judge:
        service = 1 + max((row.service for row in before), default=0)
        run_dir = judge.run_dir
        _hello(judge, min(_WARM_UP, size))
        for number in range(len(before), len(before) + chunks):
            row = asyncio.run(_chunk(judge, number, service, size, share, workers, cgroups, tell))
            family.update(judge.pids)
            yield row
    deadline = time.monotonic() + _SETTLE_S  # the kernel takes a moment to end a slot's namespace
    while (alive := [pid for pid in sorted(family) if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    if alive:
        left.append(f"processes live on: {alive}")
    if run_dir.exists():
        left.append(f"{run_dir} was left")
    if cgroups is not None and (groups := cgroups.held_by(family)):
        left.append(f"cgroups were left: {sorted(groups)[:3]}")


def _hello(judge: EmbeddedJudge, count: int) -> tuple[float, float]:
    """Runs per second, and CPU milliseconds per run."""
    request = Target(judge.url, judge.token).request("/run", {"type": "python", "solution": PROGRAM})
    used = proctree.usage(judge.pids).cpu_s
    load = asyncio.run(post_all(judge.url, iter([request] * count), _CLIENTS, 1, 1))
    return load.rate, 1000 * (proctree.usage(judge.pids).cpu_s - used) / count


async def _chunk(
    judge: EmbeddedJudge, number: int, service: int, size: int, share: float, workers: int,
    cgroups: CgroupHome | None, tell: Tell,
) -> Row:  # fmt: skip
    shared = shared_objects()
    async with lay_out() as baits, AsyncJudgeClient(judge.url, judge.token) as client:
        level = (await client.status())["level"]
        programs = chunk(size, share, attacks_of(Level.parse(level)), _targets(baits, judge), number)
        begun = time.monotonic()
        results = await _play(client, programs)
        seconds = time.monotonic() - begun
        harm = [*baits.harm(), *(f"the {name} server was reached" for name in baits.reached)]
    found = list(faults([p for p, r in zip(programs, results, strict=True) if r], [r for r in results if r]))
    infra = sum(result is not None and result.outcome is Outcome.INFRA_ERROR for result in results)
    for fault in [*found, *harm]:
        tell(fault)
    await asyncio.sleep(_SETTLE_S)
    floors = [await asyncio.to_thread(bare_fork, sys.executable, workers)]
    rate, cpu_ms = await asyncio.to_thread(_hello, judge, min(_HELLOS, size))
    floors.append(await asyncio.to_thread(bare_fork, sys.executable, workers))
    held = Holdings.now(judge.pids, judge.run_dir, cgroups)
    facts = {**asdict(held), "shared_objects": held.shared_objects - shared}
    return Row(
        chunk=number, service=service, level=level, runs=size, attacks=sum(bool(p.attack) for p in programs),
        lost=results.count(None), wrong=len(found) - infra, infra=infra, harm=len(harm), seconds=seconds,
        hello_rate=rate, hello_cpu_ms=cpu_ms, floor_cpu_ms=sum(one.cpu_ms for one in floors) / 2, **facts,
    )  # fmt: skip


async def _play(client: AsyncJudgeClient, programs: Sequence[Program]) -> list[RunResult | None]:
    """None for a program without a result."""

    async def one(program: Program) -> RunResult | None:
        try:
            return await client.run(**program.fields, deadline_s=_PATIENCE_S)
        except JudgeUnavailable:
            return None

    return list(await asyncio.gather(*map(one, programs)))


def _targets(baits: Baits, judge: EmbeddedJudge) -> dict[str, object]:
    """What attacks are told: where the baits are, and the processes of the service that runs them."""
    package = Path(__file__).parents[1]
    return {
        "token": baits.token, "servers": baits.servers, "victim": baits.victim.pid, "supervisor": judge.pids[0],
        "siblings": judge.pids[1:9], "sibling_files": [], "folders": [str(baits.directory), *HOST_FOLDERS],
        "library": [str(Path(os.__file__).parent)],
        "files": [str(baits.secret_file), *HOST_FILES, str(package / "supervisor.py")],
        "secret_file": str(baits.secret_file), "open_file": str(baits.open_file), "bait": str(baits.directory),
        "base_dir": str(judge.run_dir), "mark": "", "ipc": baits.ipc.ids,
    }  # fmt: skip
