"""The clients against the real service, with a proxy that spoils answers on the way (J38-J43)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest
import uvicorn

from code_judge.client import AsyncJudgeClient, JudgeUnavailable, RunLimits, RunResult
from code_judge.embedded import EmbeddedJudge
from code_judge.jobs import Outcome
from code_judge.published import (
    BufferedAsyncJudgeClient,
    BufferedJudgeClient,
    JudgeClient,
    QueuedAsyncJudgeClient,
    QueuedJudgeClient,
    Submission,
)
from code_judge.sync_client import SyncJudgeClient

Rows = list[dict]
DRAW = "import os; print(os.urandom(8).hex())"


@dataclass
class Faults:
    """`spoil` are applied one per request, then the proxy is honest. A spoiler returns rows, or a status to refuse."""

    url: str
    spoil: list[Callable[[Rows], Rows | int]] = field(default_factory=list)
    requests: int = 0
    seen: Rows = field(default_factory=list)
    cut: bool = False
    """End the connection after the rows instead of the answer."""


@pytest.fixture
def proxy(judge: EmbeddedJudge) -> Iterator[Faults]:
    faults = Faults("")

    async def app(scope, receive, send) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        faults.requests += 1
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name != b"host"}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            text = (await http.post(judge.url + scope["path"], content=body, headers=headers)).text
        rows = [json.loads(line) for line in text.splitlines()]
        faults.seen += rows
        spoiler = faults.spoil.pop(0) if faults.spoil else None
        said = spoiler(rows) if spoiler else rows
        status, lines = (said, []) if isinstance(said, int) else (200, said)
        retry = [(b"retry-after", b"0.1")] if status == 429 else []
        await send({"type": "http.response.start", "status": status, "headers": retry})
        sent = "".join(json.dumps(row) + "\n" for row in lines).encode()
        await send({"type": "http.response.body", "body": sent, "more_body": True})
        if spoiler and faults.cut:
            raise ConnectionError("the proxy ends this connection")
        await send({"type": "http.response.body", "body": b""})

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    faults.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield faults
    server.should_exit = True
    thread.join(10)
    listener.close()


def spoil_first(outcome: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{**row, "outcome": outcome, "success": False} if not n else row for n, row in enumerate(rows)]


def ask(url: str, token: str, codes: list[str], **more) -> list[RunResult]:
    async def go() -> list[RunResult]:
        async with AsyncJudgeClient(url, token) as client:
            return await client.run_many([{"code": code, **more} for code in codes])

    return asyncio.run(go())


def test_what_the_service_failed_at_is_asked_again_alone(judge, proxy: Faults) -> None:  # J38
    proxy.spoil = [spoil_first("infra_error")]
    results = ask(proxy.url, judge.token, [f"print({n})" for n in range(10)])
    assert [(r.outcome, r.stdout) for r in results] == [(Outcome.OK, f"{n}\n") for n in range(10)]
    assert len(proxy.seen) == 11


def test_a_poison_program_is_given_up_alone(judge, proxy: Faults) -> None:  # J42, J43
    proxy.spoil = [spoil_first("infra_error")] * 9
    results = ask(proxy.url, judge.token, [f"print({n})" for n in range(32)])
    assert sorted(r.outcome.value for r in results) == ["infra_error"] + ["ok"] * 31
    assert proxy.requests == 3


def test_a_busy_service_is_asked_later(judge, proxy: Faults) -> None:  # 8.18
    proxy.spoil = [lambda rows: 429, lambda rows: 503, lambda rows: 429]
    assert [r.stdout for r in ask(proxy.url, judge.token, ["print(1)", "print(2)"])] == ["1\n", "2\n"]
    assert proxy.requests == 4


def test_a_broken_connection_costs_no_second_run(judge, proxy: Faults) -> None:
    proxy.cut = True
    proxy.spoil = [lambda rows: rows[:2], lambda rows: []]
    results = ask(proxy.url, judge.token, [DRAW] * 6)
    drawn: dict[str, set[str]] = {}
    for row in proxy.seen:
        drawn.setdefault(row["sub_id"], set()).add(row["stdout"])
    assert [drawn[r.sub_id] for r in results] == [{r.stdout} for r in results]
    assert len({r.stdout for r in results}) == 6 and proxy.requests == 3


def test_what_a_client_does_wrong_is_said_at_once(judge, proxy: Faults) -> None:
    proxy.spoil = [lambda rows: 404]
    with pytest.raises(JudgeUnavailable, match="404"):
        ask(proxy.url, judge.token, ["print(1)"])
    assert proxy.requests == 1


def test_runs_that_are_too_large_together_go_by_themselves(judge, proxy: Faults) -> None:
    proxy.spoil = [lambda rows: 413]
    assert [r.stdout for r in ask(proxy.url, judge.token, [f"print({n})" for n in range(3)])] == ["0\n", "1\n", "2\n"]
    assert proxy.requests == 4


def test_a_run_that_is_too_large_costs_only_itself(judge, proxy: Faults) -> None:
    proxy.spoil = [lambda rows: 413] * 2
    results = ask(proxy.url, judge.token, [f"print({n})" for n in range(3)])
    assert sorted(r.outcome.value for r in results) == ["ok", "ok", "rejected"]
    assert "413" in next(r.detail for r in results if r.outcome is Outcome.REJECTED)


def test_a_request_holds_no_more_than_it_may(judge, proxy: Faults) -> None:
    large = "#" * 600_000
    assert len(ask(proxy.url, judge.token, ["print(1)", large, large, "print(2)"])) == 4
    assert proxy.requests == 2


def test_a_deadline_ends_the_tries_and_says_why(judge, proxy: Faults) -> None:
    proxy.spoil = [lambda rows: 503] * 99
    with pytest.raises(JudgeUnavailable, match=r"within 1 s; last: HTTP 503"):
        ask(proxy.url, judge.token, ["print(1)"], deadline_s=1)


def test_more_runs_than_connections(judge) -> None:
    async def go() -> list[RunResult]:
        async with AsyncJudgeClient(judge.url, judge.token, max_connections=2) as client:
            return await client.run_many([{"code": f"print({n})"} for n in range(300)])

    assert [r.stdout for r in asyncio.run(go())] == [f"{n}\n" for n in range(300)]


def test_a_slow_run_holds_up_no_quick_one(judge) -> None:
    async def go() -> bool:
        async with AsyncJudgeClient(judge.url, judge.token) as client:
            slow = asyncio.ensure_future(client.run("import time; time.sleep(3)"))
            quick = [asyncio.ensure_future(client.run("pass")) for _ in range(5)]
            await asyncio.gather(*quick)
            early = not slow.done()
            await slow
            return early

    assert asyncio.run(go())


def test_closing_fails_what_waits(judge) -> None:  # D37
    async def go() -> None:
        client = AsyncJudgeClient(judge.url, judge.token)  # J41: nothing is started here
        run = asyncio.ensure_future(client.run("import time; time.sleep(9)"))
        await asyncio.sleep(0.3)
        await client.aclose()
        with pytest.raises(JudgeUnavailable, match="closed"):
            await run
        with pytest.raises(JudgeUnavailable, match="closed"):
            await client.run("print(1)")

    asyncio.run(go())


def test_suites_files_and_limits(judge) -> None:
    cases = [{"input": "1\n", "expected": "1\n"}, {"input": "2\n", "expected": "3\n"}]
    with SyncJudgeClient(judge.url, judge.token) as client:
        suite = client.run("print(input())", suite={"kind": "stdio", "cases": cases})
        assert (suite.tests_passed, suite.tests_total) == (1, 2)
        assert suite.cases is not None and [case["outcome"] for case in suite.cases] == ["ok", "wrong_answer"]
        written = client.run("open('a', 'w').write('x')", fetch=["a"])
        assert written.files == {"a": "eA=="}
        with_limit = client.run("import os\nwhile True: os.fork()", limits=RunLimits(processes=8, cpu_s=2))
        assert with_limit.outcome in (Outcome.PROCESS_LIMIT, Outcome.RUNTIME_ERROR)
        assert client.status()["num_workers"] == 2


def test_the_sync_client_serves_many_threads(judge) -> None:
    with SyncJudgeClient(judge.url, judge.token) as client, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda n: client.run(f"print({n})").stdout, range(64))) == [f"{n}\n" for n in range(64)]
        assert [r.stdout for r in client.run_many([{"code": "print(1)"}, {"code": "print(2)"}])] == ["1\n", "2\n"]
    client.close()
    with pytest.raises(JudgeUnavailable, match="closed"):
        client.run("print(1)")


def test_the_sync_client_says_that_it_was_forked(judge) -> None:
    with SyncJudgeClient(judge.url, judge.token) as client:
        if (pid := os.fork()) == 0:
            try:
                client.run("print(1)")
            except RuntimeError as error:
                os._exit(0 if "fork" in str(error) else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


ITEMS = [
    Submission("a", "python", "print(input())", "5", "5"),
    Submission("b", "python", "print(input())", "5", "6"),
    Submission(None, "python", "1/0"),
    Submission("c", "cpp", '#include <cstdio>\nint main(){ puts("7"); }', None, "7"),
]
WANTED = [("a", True, True), ("b", False, True), (None, False, False), ("c", True, True)]


def check(results) -> None:
    for (name, success, run_success), result in zip(WANTED, results, strict=True):
        assert name is None or result.sub_id == name
        assert (result.success, result.run_success, result.reason) == (success, run_success, "")
    assert "ZeroDivisionError" in results[2].stderr


@pytest.mark.parametrize("kind", [JudgeClient, BufferedJudgeClient])
def test_published_clients(judge, kind: type[JudgeClient]) -> None:  # T2, J39
    with kind(judge.url, token=judge.token, max_batch_size=2) as client:
        check(client.judge(ITEMS))
        assert client.get_status().num_workers == 2


def test_published_clients_that_queue(judge) -> None:  # J40
    with QueuedJudgeClient(judge.url, token=judge.token) as client:
        client.submit(ITEMS)
        client.submit(ITEMS[:1])
    got = client.get_results()
    assert [one for one, _ in got] == [*ITEMS, ITEMS[0]]
    check([result for _, result in got[:4]])


def test_published_clients_for_an_event_loop(judge) -> None:  # J41
    buffered = BufferedAsyncJudgeClient(judge.url, token=judge.token)
    queued = QueuedAsyncJudgeClient(judge.url, token=judge.token)

    async def go() -> None:
        async with buffered as client:
            check(await client.judge(ITEMS))
            assert (await client.get_status()).num_workers == 2
        async with queued as client:
            await client.submit(ITEMS)
        check([result for _, result in await client.get_results()])

    asyncio.run(go())


def test_a_service_that_is_away_is_one_reason_per_item() -> None:  # J43
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with JudgeClient(f"http://127.0.0.1:{port}", timeout=0.5) as client:
        results = client.judge(ITEMS[:2])
    assert [(r.sub_id, r.success, r.reason) for r in results] == [
        ("a", False, "internal_error"),
        ("b", False, "internal_error"),
    ]
