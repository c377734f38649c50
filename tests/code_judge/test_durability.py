"""Lost workers, lost queue data, client behaviour, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from code_judge.client import AsyncJudgeClient, JudgeUnavailable, Outcome, RunLimits
from code_judge.embedded import EmbeddedJudge
from tests.code_judge import family


def supervisors(http: httpx.Client) -> list[int]:
    return [row["pid"] for row in http.get("/status").json()["supervisors"]]


def is_running(pid: int) -> bool:
    """Other tests make this process the reaper of orphans, so what ended may still be listed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("all_of_them", [False, True])
def test_killed_workers_lose_no_job(judge, http: httpx.Client, all_of_them: bool) -> None:  # J2, J21, J22
    async def go() -> list[str]:
        async with AsyncJudgeClient(judge.url, judge.token) as client:
            runs = [asyncio.create_task(client.run(f"import time; time.sleep(.2); print({n})")) for n in range(16)]
            await asyncio.sleep(0.8)
            for pid in supervisors(http)[: None if all_of_them else 1]:
                os.kill(pid, signal.SIGKILL)
            return [result.stdout for result in await asyncio.gather(*runs)]

    assert asyncio.run(go()) == [f"{n}\n" for n in range(16)]
    assert wait_for(lambda: http.get("/status").json()["num_workers"] == 2, 15)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_worker_does_not_wait_for_the_lease(tmp_path: Path, number: signal.Signals) -> None:  # 8.16
    with EmbeddedJudge(tmp_path, workers=2, environment={"CODE_JUDGE_LEASE_S": "60"}) as judge:

        async def go() -> list[str]:
            async with AsyncJudgeClient(judge.url, judge.token) as client:
                runs = [asyncio.create_task(client.run(f"import time; time.sleep(1); print({n})")) for n in range(4)]
                await asyncio.sleep(0.5)
                for pid in family.supervisors(judge):
                    os.kill(pid, number)
                return [result.stdout for result in await asyncio.gather(*runs)]

        begun = time.monotonic()
        assert asyncio.run(go()) == [f"{n}\n" for n in range(4)]
        assert time.monotonic() - begun < 25


def test_client_from_two_threads(judge) -> None:
    results: list[str] = []

    def work(name: str) -> None:
        async def go() -> None:
            async with AsyncJudgeClient(judge.url, judge.token) as client:
                results.append((await client.run("print(input())", name)).stdout)

        asyncio.run(go())

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["a\n", "b\n"]


def test_client_rejects_bad_payloads_alone(judge) -> None:  # D36
    async def go() -> list[Outcome]:
        async with AsyncJudgeClient(judge.url, judge.token) as client:
            codes = ["print(1)", "print('\ud800')", 7, {1}]
            return [r.outcome for r in await asyncio.gather(*(client.run(code) for code in codes))]  # type: ignore[arg-type]

    assert asyncio.run(go()) == [Outcome.OK, Outcome.RUNTIME_ERROR, Outcome.REJECTED, Outcome.REJECTED]


def test_client_limits(judge) -> None:
    async def go():
        async with AsyncJudgeClient(judge.url, judge.token) as client:
            return await client.run("while True: pass", limits=RunLimits(cpu_s=0.3, wall_s=20))

    result = asyncio.run(go())
    assert result.outcome is Outcome.TIME_LIMIT
    assert 0.3 <= result.cpu_s < 1.0


def test_unreachable_service_is_an_error_not_a_verdict() -> None:  # J17
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def go() -> None:
        async with AsyncJudgeClient(f"http://127.0.0.1:{port}") as client:
            await client.run("print(1)", deadline_s=0.5)

    with pytest.raises(JudgeUnavailable, match="within 0.5 s"):
        asyncio.run(go())


def test_wrong_token_fails_at_once(judge) -> None:
    async def go() -> None:
        async with AsyncJudgeClient(judge.url, "wrong") as client:
            await client.run("print(1)", deadline_s=30)

    begun = time.monotonic()
    with pytest.raises(JudgeUnavailable, match="401"):
        asyncio.run(go())
    assert time.monotonic() - begun < 10


def test_close_and_parent_death_leave_nothing(tmp_path: Path) -> None:  # A11, J29
    script = (
        "import sys, time\nfrom code_judge.embedded import EmbeddedJudge\n"
        f"j = EmbeddedJudge({str(tmp_path)!r}, workers=2); j.start()\nprint(j._run_dir, *j.pids, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    run_dir, *pids = parent.stdout.readline().split()
    assert len(pids) >= 4  # service, Valkey, two workers
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not any(is_running(int(pid)) for pid in pids), 20)
    assert wait_for(lambda: not Path(run_dir).exists(), 5)


def test_lost_queue_data_and_garbage(tmp_path: Path) -> None:  # J5, J23
    with EmbeddedJudge(tmp_path, workers=2) as judge:
        pids, run_dir = judge.pids, judge._run_dir
        queue = redis.Redis.from_url(family.queue_url(judge), protocol=2)

        async def go() -> list[str]:
            async with AsyncJudgeClient(judge.url, judge.token) as client:
                runs = [asyncio.create_task(client.run(f"import time; time.sleep(.1); print({n})")) for n in range(12)]
                await asyncio.sleep(0.3)
                queue.flushall()
                done = [result.stdout for result in await asyncio.gather(*runs)]
                queue.xadd("cj:jobs", {"job": b"\xff garbage", "reply": "nobody", "state": "cj:job:x"})
                done.append((await client.run("print('after')")).stdout)
                return done

        assert asyncio.run(go()) == [*(f"{n}\n" for n in range(12)), "after\n"]
        queue.close()
    assert not any(is_running(pid) for pid in pids)
    assert run_dir is not None and not run_dir.exists()
