"""Kill anything in the middle of many jobs; turns, bounds, cancellation, idempotency (T7, T8, T9, T10)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

import code_judge
from code_judge.bench.load import Connection, request_bytes
from code_judge.client import AsyncJudgeClient
from code_judge.embedded import EmbeddedJudge
from tests.code_judge import family

JOBS = 1000


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedJudge]:
    """A service that a test may break."""
    with EmbeddedJudge(tmp_path, workers=2) as judge:
        yield judge


def workers(judge: EmbeddedJudge) -> list[psutil.Process]:
    return [p for p in map(psutil.Process, judge.pids) if "code_judge.supervise" in p.cmdline()]


def slots(judge: EmbeddedJudge) -> list[psutil.Process]:
    return [p for worker in workers(judge) for p in worker.children() if "-c" in p.cmdline()[:4]]


def runs(judge: EmbeddedJudge) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for slot in slots(judge):
        try:
            found += slot.children()
        except psutil.NoSuchProcess:
            continue
    return found


def queue_server(judge: EmbeddedJudge) -> list[psutil.Process]:
    return [p for p in map(psutil.Process, judge.pids) if "valkey" in p.name() or "redis" in p.name()]


def hit(find: Callable[[EmbeddedJudge], list[psutil.Process]], number: signal.Signals, all_of_them: bool = False):
    """Signals what `find` finds, as soon as there is something."""

    def act(judge: EmbeddedJudge) -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                if targets := find(judge):
                    for target in targets if all_of_them else targets[:1]:
                        target.send_signal(number)
                    return
            except psutil.NoSuchProcess:
                continue
        raise AssertionError("found nothing to signal")

    return act


async def batch(judge: EmbeddedJudge, act: Callable[[EmbeddedJudge], None]) -> list[dict]:
    """Many jobs in one request; `act` happens in the middle of them."""
    items = [{"sub_id": f"n{n}", "solution": f"print({n})"} for n in range(JOBS)]
    connection = await Connection.open(judge.url)
    body = request_bytes(judge.url, judge.token, "/run/long-batch", {"submissions": items})
    answer = asyncio.create_task(connection.post(body))
    await asyncio.sleep(0.4)
    await asyncio.get_running_loop().run_in_executor(None, act, judge)
    assert not answer.done(), "the jobs were over too soon"
    status, text = await asyncio.wait_for(answer, 90)
    assert status == 200, text[:500]
    connection.close()
    return json.loads(text)["results"]


EVENTS = {
    "kill a slot": hit(slots, signal.SIGKILL),
    "stop a slot": hit(slots, signal.SIGSTOP),
    "kill a worker": hit(workers, signal.SIGKILL),
    "stop a worker": hit(workers, signal.SIGSTOP),
    "kill all workers": hit(workers, signal.SIGKILL, all_of_them=True),
    "kill the queue server": hit(queue_server, signal.SIGKILL),
}


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_is_lost_or_doubled(own: EmbeddedJudge, event: str) -> None:  # T7, J21-J25
    rows = asyncio.run(batch(own, EVENTS[event]))
    wrong = [row for n, row in enumerate(rows) if (row["sub_id"], row["stdout"]) != (f"n{n}", f"{n}\n")]
    assert not wrong, (len(wrong), wrong[:3])
    headers = {"Authorization": f"Bearer {own.token}"}
    body = {"submissions": [{"solution": ""}] * 50}
    after = httpx.post(f"{own.url}/run/long-batch", json=body, headers=headers, timeout=30)
    assert {row["outcome"] for row in after.json()["results"]} == {"ok"}


def test_a_killed_run_is_the_programs_end(own: EmbeddedJudge) -> None:
    async def go() -> dict:
        connection = await Connection.open(own.url)
        item = {"solution": "import time\ntime.sleep(20)"}
        answer = asyncio.create_task(connection.post(request_bytes(own.url, own.token, "/run", item)))
        await asyncio.sleep(0.5)
        await asyncio.get_running_loop().run_in_executor(None, hit(runs, signal.SIGKILL), own)
        return json.loads((await answer)[1])

    row = asyncio.run(go())
    assert (row["outcome"], row["signal"], row["run_success"]) == ("runtime_error", 9, False)


def test_the_same_ids_after_the_api_was_killed(tmp_path: Path) -> None:  # J24: a resend runs nothing twice
    with EmbeddedJudge(tmp_path / "queue", workers=1) as holder:
        queue_url = family.queue_url(holder)

        def serve(port_file: Path) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "code_judge", "serve", "--workers", "0", "--port", "0"]
            command += ["--queue", queue_url, "--port-file", str(port_file)]
            return subprocess.Popen(command, env={**os.environ, "CODE_JUDGE_TOKEN": "t"})

        def url(port_file: Path) -> str:
            while not port_file.exists() or not port_file.read_text():
                time.sleep(0.05)
            return f"http://127.0.0.1:{port_file.read_text()}"

        items = [{"sub_id": f"s{n}", "solution": "import os\nprint(os.urandom(8).hex())"} for n in range(300)]
        first = serve(tmp_path / "port1")
        headers = {"Authorization": "Bearer t"}

        def post(base: str, part: list[dict]) -> list[dict]:
            answer = httpx.post(f"{base}/run/long-batch", json={"submissions": part}, headers=headers, timeout=60)
            return answer.json()["results"]

        half = post(url(tmp_path / "port1"), items[:150])

        async def die_in_the_middle() -> None:
            connection = await Connection.open(url(tmp_path / "port1"))
            body = request_bytes(url(tmp_path / "port1"), "t", "/run/long-batch", {"submissions": items})
            asking = asyncio.create_task(connection.post(body))
            await asyncio.sleep(0.2)
            first.kill()
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await asking

        asyncio.run(die_in_the_middle())
        first.wait()
        second = serve(tmp_path / "port2")
        try:
            again = post(url(tmp_path / "port2"), items)
            third = post(url(tmp_path / "port2"), items)
        finally:
            second.terminate()
            second.wait()
    assert [row["stdout"] for row in again[:150]] == [row["stdout"] for row in half]
    assert [row["stdout"] for row in third] == [row["stdout"] for row in again]
    assert {row["outcome"] for row in again} == {"ok"} and len({row["stdout"] for row in again}) == 300


def test_two_at_the_same_time_run_once(judge: EmbeddedJudge) -> None:  # T8
    async def go() -> list[str]:
        item = {"sub_id": "together", "solution": "import os, time\ntime.sleep(.3)\nprint(os.urandom(8).hex())"}
        body = request_bytes(judge.url, judge.token, "/run", item)

        async def ask() -> str:
            connection = await Connection.open(judge.url)
            _, text = await connection.post(body)
            connection.close()
            return json.loads(text)["stdout"]

        return await asyncio.gather(*(ask() for _ in range(5)))

    assert len(set(asyncio.run(go()))) == 1


def test_a_client_that_leaves_takes_its_waiting_jobs_along(judge: EmbeddedJudge, http: httpx.Client) -> None:  # J10
    async def leave() -> None:
        connection = await Connection.open(judge.url)
        items = [{"solution": "import time; time.sleep(.5)"}] * 200
        body = request_bytes(judge.url, judge.token, "/run/long-batch", {"submissions": items})
        asking = asyncio.create_task(connection.post(body))
        await asyncio.sleep(0.5)
        asking.cancel()
        connection.close()

    asyncio.run(leave())
    begun = time.monotonic()
    assert http.post("/run", json={"solution": "print(1)"}).json()["outcome"] == "ok"
    assert time.monotonic() - begun < 10  # 200 x 0.5 s on two slots would take 50
    deadline = time.monotonic() + 10
    while http.get("/status").json()["queue"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert http.get("/status").json()["queue"] == 0


def test_runs_that_nobody_waits_for_are_ended(judge: EmbeddedJudge, http: httpx.Client) -> None:
    """Sleepers use no CPU time; without this, two of them would hold both slots for half a minute."""
    sleepers = [{"source": f"import time; time.sleep(30)  # {n}"} for n in range(2)]
    rows = http.post("/v2/batches", json={"runs": [{**run, "deadline_s": 0.5} for run in sleepers]}).json()["results"]
    assert [row["reason"] for row in rows] == ["queue_timeout"] * 2
    begun = time.monotonic()
    assert http.post("/run", json={"solution": "print(1)"}).json()["outcome"] == "ok"
    assert time.monotonic() - begun < 10


def test_who_asks_again_in_time_keeps_the_run(judge: EmbeddedJudge, http: httpx.Client) -> None:
    source = "import time; begun = time.monotonic(); time.sleep(4); print(begun)"
    run = {"source": source, "sub_id": "asked-twice"}
    assert http.post("/v2/runs", json={**run, "deadline_s": 0.5}).json()["reason"] == "queue_timeout"
    asked_again = time.monotonic()
    answer = http.post("/v2/runs", json=run).json()
    assert answer["outcome"] == "ok" and float(answer["stdout"]) < asked_again  # the first one went on


def test_the_time_of_day_of_two_hosts_is_never_compared() -> None:  # J27
    """It is used for the age of files on one host, and nowhere else."""
    package = Path(code_judge.__file__).parent
    clock = re.compile(r"\btime\.time\(|\btime_ns\(|\bdatetime\.|\butcnow\b")
    users = {path.name for path in package.rglob("*.py") if clock.search(path.read_text())}
    assert users == {"leftovers.py", "cgroups.py"}


def test_a_greedy_client_leaves_turns_to_others(judge: EmbeddedJudge) -> None:  # T9
    async def go() -> tuple[float, int]:
        job = {"solution": "import time\nx = time.process_time() + .01\nwhile time.process_time() < x: pass"}

        async def client(name: str, items: int) -> float:
            connection = await Connection.open(judge.url)
            body = request_bytes(judge.url, judge.token, "/run/long-batch", {"submissions": [job] * items})
            body = body.replace(b"\r\n", f"\r\nX-Judge-Client: {name}\r\n".encode(), 1)
            status, text = await connection.post(body)
            assert status == 200 and text.count(b'"outcome":"ok"') == items
            connection.close()
            return time.monotonic()

        greedy = asyncio.create_task(client("greedy", 700))
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        fair = await client("fair", 90) - begun
        whole = await greedy - begun
        return fair, whole

    fair, whole = asyncio.run(go())
    # 90 of the first 180: with equal turns it is over after about a quarter of the rest of the time.
    assert fair < 0.45 * whole, (fair, whole)


def test_a_long_run_holds_up_no_job_that_came_later(judge: EmbeddedJudge) -> None:
    async def go() -> bool:
        async with AsyncJudgeClient(judge.url, judge.token) as client:
            warm = [client.run("pass") for _ in range(64)]  # workers learn that jobs are short, and lease ahead
            await asyncio.gather(*warm)
            long = asyncio.ensure_future(client.run("import time; time.sleep(4)"))
            await asyncio.sleep(0.2)
            await asyncio.gather(*[client.run("pass") for _ in range(64)])
            early = not long.done()
            await long
            return early

    assert asyncio.run(go())


def test_a_full_service_refuses_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # T9, J12, 8.18
    monkeypatch.setenv("CODE_JUDGE_MAX_PENDING", "100")
    with EmbeddedJudge(tmp_path, workers=2) as judge:

        async def one(body: bytes) -> tuple[int, float, bytes]:
            connection = await Connection.open(judge.url)
            begun = time.monotonic()
            status, text = await connection.post(body)
            connection.close()
            return status, time.monotonic() - begun, text

        async def go() -> list[tuple[int, float, bytes]]:
            body = request_bytes(judge.url, judge.token, "/run/long-batch", {"submissions": [{"solution": "print(1)"}]})
            return await asyncio.gather(*(one(body) for _ in range(600)))

        rows = asyncio.run(go())
        counts = Counter(status for status, _, _ in rows)
        assert set(counts) == {200, 429} and counts[200] >= 100, counts
        assert all(b'"outcome":"ok"' in text for status, _, text in rows if status == 200)
        headers = {"Authorization": f"Bearer {judge.token}"}
        huge = httpx.post(f"{judge.url}/run/long-batch", json={"submissions": [{}] * 101}, headers=headers)
        assert huge.status_code == 413 and "several requests" in huge.json()["detail"]


@pytest.mark.parametrize("jobs", [16, 32])
def test_cpu_time_decides_however_many_run(judge: EmbeddedJudge, http: httpx.Client, jobs: int) -> None:  # J13, T10
    busy = "import time\nx = time.process_time() + .25\nwhile time.process_time() < x: pass"
    items = [{"solution": busy, "limits": {"cpu_s": 0.6}}] * jobs
    rows = http.post("/run/long-batch", json={"submissions": items}).json()["results"]
    assert {row["outcome"] for row in rows} == {"ok"}


def test_no_worker_is_a_503_not_a_hang(tmp_path: Path) -> None:  # J1
    with EmbeddedJudge(tmp_path, workers=1) as judge:
        headers = {"Authorization": f"Bearer {judge.token}"}
        with httpx.Client(base_url=judge.url, headers=headers, timeout=30, trust_env=False) as http:
            for slot in slots(judge) + workers(judge):
                slot.send_signal(signal.SIGSTOP)
            assert http.get("/ping").json() == "pong"
            begun = time.monotonic()
            answer = http.get("/healthz")
            assert answer.status_code in (200, 503) and time.monotonic() - begun < 8
            deadline = time.monotonic() + 20
            while http.get("/healthz").status_code != 200 and time.monotonic() < deadline:
                time.sleep(0.2)
            assert http.get("/healthz").status_code == 200  # the halted worker was replaced
