"""The loads: each is a function from a running service to what came back."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from code_judge.bench.floors import PROGRAM
from code_judge.bench.load import Connection, Load, post_all, request_bytes, together
from code_judge.client import AsyncJudgeClient

HELLO = {"type": "python", "solution": PROGRAM}
_CALL = "import sys\nfor line in sys.stdin:\n    print(sum(map(int, line.split())))"
_ADD = "def add(a, b):\n    return a + b"
_CXX = '#include <cstdio>\nint main(){{ int a, b; scanf("%d %d", &a, &b); printf("%d\\n", a + b); }} // {n}\n'
_NUMPY = "import numpy as np\nprint(np.arange(9).reshape(3, 3).trace())"
_SYMPY = "import numpy, sympy"
_EXPAND = "import sympy\nx = sympy.Symbol('x')\nprint(sympy.expand((x + 1) ** 3))"
_TOOL = "values = [n * n for n in range(100)]\nsum(values)"
_CASES = 50
_fresh = itertools.count()


@dataclass(frozen=True)
class Target:
    """A running service."""

    url: str
    token: str

    def request(self, path: str, body: Any, method: str = "POST", accept: str = "*/*") -> bytes:
        return request_bytes(self.url, self.token, path, body, method, accept)


@dataclass(frozen=True)
class Scenario:
    """`size` scales how much is done; what is measured is per run, so it changes only how exact it is."""

    name: str
    size: int
    action: Callable[[Target, int], Awaitable[Load]]
    group: str
    warm: int = 0
    """Do so much before, unmeasured; by default a tenth."""


def _post(
    name: str, group: str, path: str, body: Any, requests: int, clients: int, runs: int = 1, oks: int | None = None
) -> Scenario:
    async def play(target: Target, size: int) -> Load:
        request = target.request(path, body)
        return await post_all(target.url, iter([request] * size), clients, runs, runs if oks is None else oks)

    return Scenario(name, requests, play, group, max(clients, requests // 10))


async def _cold_builds(target: Target, size: int) -> Load:
    bodies = ({"type": "cpp", "solution": _CXX.format(n=f"bench {next(_fresh)}"), "input": "1 2"} for _ in range(size))
    requests = [target.request("/run", body) for body in bodies]
    return await post_all(target.url, iter(requests), 2, 1, 1)


async def _health(target: Target, size: int) -> Load:
    async def client(load: Load) -> None:
        connection = await Connection.open(target.url)
        for _ in range(size):
            async with load.timed():
                status, _ = await connection.post(target.request("/healthz", None, "GET"))
            load.runs += 1
            load.failed += status != 200
        connection.close()

    return await together(1, client)


async def _first_lines(target: Target, size: int) -> Load:
    """Until the first row of a batch of 1000; each batch counts as one. The client then leaves."""
    request = target.request("/v2/batches", {"runs": [{"source": PROGRAM}] * 1000}, accept="application/x-ndjson")

    async def client(load: Load) -> None:
        for _ in range(size):
            connection = await Connection.open(target.url)
            async with load.timed():
                line = await connection.first_line(request)
            connection.close()
            load.runs += 1
            load.failed += b'"outcome":"ok"' not in line
            await asyncio.sleep(0.5)  # what was started ends

    return await together(1, client)


@dataclass
class _Session:
    """An agent's sessions over one connection; steps of the kind `what` are timed and counted."""

    target: Target
    connection: Connection
    load: Load
    what: str

    async def step(self, kind: str, path: str, body: Any = None, method: str = "POST") -> dict[str, Any]:
        begun = time.perf_counter()
        status, text = await self.connection.post(self.target.request(f"/v2/sessions{path}", body, method))
        if kind == self.what:
            self.load.latencies.append(time.perf_counter() - begun)
            self.load.runs += 1
        if status >= 300:
            raise RuntimeError(f"HTTP {status}: {text[:200].decode()}")
        return json.loads(text)


def _sessions(clients: int, what: str, cells: int, forks: int) -> Callable[[Target, int], Awaitable[Load]]:
    """Each of `size` sessions is opened, does cells and forks, and is closed. `what`: the kind of step that counts."""

    async def play(target: Target, size: int) -> Load:
        ids = iter(range(size))

        async def client(load: Load) -> None:
            session = _Session(target, await Connection.open(target.url), load, what)
            for _ in ids:
                made = (await session.step("create", "", {}))["session"]
                for n in range(cells):
                    said = await session.step("cell", f"/{made}/cells", {"code": f"x{n} = {n}\nx{n} + x{n // 2}"})
                    load.failed += said["stdout"] != f"{n + n // 2}\n"
                branches = [(await session.step("fork", f"/{made}/fork"))["session"] for _ in range(forks)]
                for name in [*branches, made]:
                    await session.step("close", f"/{name}", method="DELETE")
            session.connection.close()

        return await together(clients, client)

    return play


async def _client(target: Target, size: int) -> Load:
    async with AsyncJudgeClient(target.url, target.token) as client:

        async def one(load: Load) -> None:
            async with load.timed():
                result = await client.run(PROGRAM)
            load.runs += 1
            load.failed += result.outcome.value != "ok"

        return await together(size, one)


async def _client_alone(target: Target, size: int) -> Load:
    async with AsyncJudgeClient(target.url, target.token) as client:

        async def one(load: Load) -> None:
            for _ in range(size):
                async with load.timed():
                    result = await client.run(PROGRAM)
                load.runs += 1
                load.failed += result.outcome.value != "ok"

        return await together(1, one)


def _suite(kind: str, language: str = "python") -> dict[str, Any]:
    source = _CXX.format(n="suite") if language == "cpp" else _CALL if kind == "stdio" else _ADD
    if kind == "stdio":
        cases: list[dict[str, Any]] = [{"input": f"{n} 1\n", "expected": f"{n + 1}\n"} for n in range(_CASES)]
    elif kind == "call":
        cases = [{"args": [n, 1], "expected": n + 1} for n in range(_CASES)]
    else:
        cases = [{"code": f"assert add({n}, 1) == {n + 1}"} for n in range(_CASES)]
    more = {"entry_point": "add"} if kind == "call" else {}
    return {"language": language, "source": source, "suite": {"kind": kind, "cases": cases, **more}}


def _one_case(language: str) -> dict[str, Any]:
    source = _CXX.format(n="suite") if language == "cpp" else _CALL
    return {"type": language, "solution": source, "input": "3 1\n", "expected_output": "4"}


def _batch(count: int) -> dict[str, Any]:
    return {"type": "batch", "submissions": [HELLO] * count}


SCENARIOS: tuple[Scenario, ...] = (
    _post("single c=1", "hello", "/run", HELLO, 400, 1),
    _post("single c=2", "hello", "/run", HELLO, 800, 2),
    _post("single c=8", "hello", "/run", HELLO, 1500, 8),
    _post("single c=32", "hello", "/run", HELLO, 1500, 32),
    _post("batch of 100", "hello", "/run/batch", _batch(100), 16, 1, 100),
    _post("long-batch of 100, c=2", "hello", "/run/long-batch", _batch(100), 20, 2, 100),
    _post("long-batch 8 x 32", "hello", "/run/long-batch", _batch(32), 64, 8, 32),
    _post("long-batch of 1000", "hello", "/run/long-batch", _batch(1000), 2, 1, 1000),
    Scenario("batch of 1000, first row", 3, _first_lines, "hello", 1),
    Scenario("client, 1000 at once", 1000, _client, "client", 200),
    Scenario("client, one at a time", 400, _client_alone, "client", 40),
    _post("tool call c=8", "tool", "/v2/runs", {"source": _TOOL, "echo": True}, 1200, 8),
    _post("numpy c=8", "numpy", "/run", {"type": "python", "solution": _NUMPY}, 800, 8),
    _post("import numpy, sympy c=8", "numpy", "/run", {"type": "python", "solution": _SYMPY}, 800, 8),
    _post("sympy expand c=8", "numpy", "/run", {"type": "python", "solution": _EXPAND}, 300, 8),
    Scenario("C++ cold c=2", 12, _cold_builds, "cpp", 2),
    _post("C++ cached c=1", "cpp", "/run", _one_case("cpp"), 300, 1),
    _post("C++ cached c=8", "cpp", "/run", _one_case("cpp"), 1000, 8),
    Scenario("session cells c=8", 60, _sessions(8, "cell", 10, 0), "sessions", 8),
    Scenario("session fork c=1", 12, _sessions(1, "fork", 1, 10), "sessions", 2),
    Scenario("session create c=1", 30, _sessions(1, "create", 0, 0), "sessions", 2),
    _post("50 requests, python c=2", "suites", "/run", _one_case("python"), 600, 2),
    _post("stdio suite of 50 c=2", "suites", "/v2/runs", _suite("stdio"), 24, 2, _CASES, _CASES + 1),
    _post("call suite of 50 c=2", "suites", "/v2/runs", _suite("call"), 80, 2, _CASES, _CASES + 1),
    _post("assert suite of 50 c=2", "suites", "/v2/runs", _suite("assert"), 80, 2, _CASES, _CASES + 1),
    _post("50 requests, C++ c=2", "suites", "/run", _one_case("cpp"), 600, 2),
    _post("stdio suite of 50, C++ c=2", "suites", "/v2/runs", _suite("stdio", "cpp"), 24, 2, _CASES, _CASES + 1),
    Scenario("healthz c=1", 200, _health, "health", 20),
)
GROUPS = tuple(dict.fromkeys(scenario.group for scenario in SCENARIOS))


def play(scenario: Scenario, target: Target, size: int) -> Load:
    async def go() -> Load:
        return await scenario.action(target, size)

    return asyncio.run(go())
