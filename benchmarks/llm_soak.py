"""10,000 calls of a model against an endpoint that fails in every way, killed once and stopped once by a budget.

    nice -n 12 python benchmarks/llm_soak.py --calls 10000 --csv docs/results/llm_soak.csv

The endpoint is a loopback server that keeps its own books. Three phases share one cache and one ledger: the first is
killed (SIGKILL) in the middle, the second runs into a budget of tokens, the third finishes. What must hold is checked
at the end, and the exit status says whether it did.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.loopback import Answer, Asked, Loopback
from cleartrace.llm.budget import Budget, Limits
from cleartrace.llm.cached import request_key
from cleartrace.llm.connect import connect
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import Finish, LLMError, Message, Request, Role

CONCURRENCY, NEVER_S = 32, 600.0
PROMPT_TOKENS, MAX_TOKENS = 40, 30
ROLES = (Role.AGENT, Role.REFLECTOR, Role.MUTATOR, Role.JUDGE)
WAITS = {"RCL_LLM_RETRY_BASE_DELAY": "0.02", "RCL_LLM_RETRY_MAX_DELAY": "0.5"}
FAULTS = {
    "RateLimited": 0.06,
    "ServerError": 0.04,
    "Unreachable": 0.03,
    "Malformed": 0.04,
    "empty": 0.02,
    "TimedOut": 0.01,
    "Rejected": 0.01,
    "Refused": 0.02,
    "truncated": 0.03,
}
"""Share of attempts, by what the client has to call it; the rest is answered well."""
PAID = ("ok", "truncated", "Refused")
CHARGED = (*PAID, "empty")


def question(number: int) -> Request:
    """The request with that number."""
    said = Message(role="user", content=f"question {number}")
    return Request(role=ROLES[number % len(ROLES)], messages=(said,), max_tokens=MAX_TOKENS)


@dataclass
class FaultyEndpoint:
    """Answers by a seeded draw per question and attempt, and counts what it did: per phase, and tokens it charged."""

    seed: int
    faults: dict[str, float] = field(default_factory=lambda: FAULTS)
    phase: int = 0
    attempts: Counter[int] = field(default_factory=Counter)
    served: dict[int, Counter[str]] = field(default_factory=lambda: {1: Counter(), 2: Counter(), 3: Counter()})
    tokens: Counter[int] = field(default_factory=Counter)
    paid: list[tuple[int, int]] = field(default_factory=list)
    """(phase, question) of each answer that was paid."""

    def __call__(self, asked: Asked) -> Answer:
        number = int(asked.body["messages"][-1]["content"].split()[1])
        self.attempts[number] += 1
        draw = random.Random(f"{self.seed}:soak:{number}:{self.attempts[number]}")
        kind = draw.choices([*self.faults, "ok"], [*self.faults.values(), 1 - sum(self.faults.values())])[0]
        wrote = draw.randint(1, MAX_TOKENS)
        self.served[self.phase][kind] += 1
        if kind in CHARGED:
            self.tokens[self.phase] += PROMPT_TOKENS + wrote
        if kind in PAID:
            self.paid.append((self.phase, number))
        return _answer(kind, number, wrote, draw)


def _answer(kind: str, number: int, wrote: int, draw: random.Random) -> Answer:
    text = "" if kind in ("empty", "Refused") else f"answer {number}"
    reason = {"truncated": "length", "Refused": "content_filter"}.get(kind, "stop")
    body = {
        "model": "soak",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": wrote},
    }
    if kind == "RateLimited":
        return Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.02"} if draw.random() < 0.5 else {})
    if kind == "ServerError":
        return Answer(b"<html>oops</html>", draw.choice((500, 502, 503, 529)), {"content-type": "text/html"})
    if kind == "Rejected":
        return Answer({"error": {"message": "429: this text is no status"}}, 400)
    if kind == "Malformed":
        return Answer(json.dumps(body).encode()[: draw.randrange(60)])
    if kind == "Unreachable":
        return Answer(body, drop=draw.random())
    return Answer(body, delay_s=NEVER_S if kind == "TimedOut" else 0.0)


# --- the client, in a process of its own


async def ask_all(url: str, folder: Path, calls: int, timeout_s: float, token_limit: int | None) -> Counter[str]:
    """How each call ended: by the name of its error, or `ok`, `truncated`, `cached`."""
    ledger = Ledger(folder / "ledger.jsonl")
    budget = Budget(ledger, Limits(tokens=token_limit))
    llm = connect(
        f"openai/soak@{url}/v1", budget=budget, cache=folder / "cache", concurrency=CONCURRENCY, timeout_s=timeout_s
    )

    async def ask(number: int) -> str:
        try:
            reply = await llm.complete(question(number))
        except LLMError as error:
            return type(error).__name__
        assert reply.text == f"answer {number}"
        return "cached" if reply.cached else "truncated" if reply.finish is Finish.LENGTH else "ok"

    ends = Counter([await ask(0)])  # the client's slow first use, before its calls compete for the time limit
    left = iter(range(1, calls))

    async def work() -> None:
        # Thousands of coroutines that start at once would keep the loop from its sockets until time limits pass.
        for number in left:
            ends[await ask(number)] += 1

    await asyncio.gather(*(work() for _ in range(2 * CONCURRENCY)))
    await llm.close()
    ledger.close()
    return ends


def client(arguments: argparse.Namespace) -> None:
    ends = asyncio.run(
        ask_all(arguments.url, arguments.folder, arguments.calls, arguments.timeout, arguments.token_limit)
    )
    print(json.dumps(ends))


# --- the harness


@dataclass(frozen=True)
class Row:
    """One phase. `cached`: calls answered without a request. `unseen_*`: what the endpoint counted and the ledger did
    not, because the client was killed before it could. `repeated`: paid answers to questions that the cache held."""

    phase: str
    replies: int
    cached: int
    refused: int
    rejected: int
    gave_up: int
    stopped_by_budget: int
    requests: int
    unseen_requests: int
    tokens: int
    unseen_tokens: int
    over_budget_tokens: int
    repeated: int
    wall_s: float


@dataclass
class Soak:
    """Runs the phases in `folder`. `problems`: what should hold and does not."""

    calls: int
    folder: Path
    endpoint: FaultyEndpoint
    server: Loopback
    timeout_s: float
    problems: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def run(self) -> None:
        self._phase(1, "killed", kill_after=self.calls // 2)
        spent = Ledger(self.folder / "ledger.jsonl").total.tokens
        self._phase(2, "budget", token_limit=spent + spent // 2)
        self._phase(3, "finished")
        kept = self._kept()
        lost = {number for _, number in self.endpoint.paid} - kept
        self._check(not lost, f"{len(lost)} paid answers are not in the cache: {sorted(lost)[:5]}")

    def _phase(self, number: int, name: str, kill_after: int | None = None, token_limit: int | None = None) -> None:
        before, held, began = self._ledger(), self._kept(), time.monotonic()
        self.endpoint.phase = number
        ends = self._client(kill_after, token_limit)
        after = self._ledger()
        served, charged = self.endpoint.served[number], self.endpoint.tokens[number]
        requests, tokens = after.attempts - before.attempts, after.tokens - before.tokens
        over = max(0, after.tokens - token_limit) if token_limit else 0
        repeated = sum(phase == number and question in held for phase, question in self.endpoint.paid)
        row = Row(
            phase=name,
            replies=ends["ok"] + ends["truncated"],
            cached=ends["cached"],
            refused=ends["Refused"],
            rejected=ends["Rejected"],
            gave_up=sum(ends[kind] for kind in ("RateLimited", "ServerError", "Unreachable", "Malformed", "TimedOut")),
            stopped_by_budget=ends["BudgetExhausted"],
            requests=requests,
            unseen_requests=sum(served.values()) - requests,
            tokens=tokens,
            unseen_tokens=charged - tokens,
            over_budget_tokens=over,
            repeated=repeated,
            wall_s=round(time.monotonic() - began, 1),
        )
        self.rows.append(row)
        self._check(repeated == 0, f"{name}: {repeated} paid answers were asked for again")
        self._check(over <= PROMPT_TOKENS + MAX_TOKENS, f"{name}: {over} tokens over the budget")
        if kill_after is None:
            self._check(sum(ends.values()) == self.calls, f"{name}: {sum(ends.values())} of {self.calls} calls ended")
            self._check(row.unseen_requests == row.unseen_tokens == 0, f"{name}: ledger and endpoint differ: {row}")
            self._check_kinds(name, served, before, after)
        else:
            errors = Counter(after.errors) - Counter(before.errors)
            self._check(
                0 <= row.unseen_requests <= CONCURRENCY, f"{name}: {row}, errors of the ledger {errors}, {served}"
            )
        self._check(bool(ends["BudgetExhausted"]) == (token_limit is not None), f"{name}: budget: {dict(ends)}")

    def _check_kinds(self, name: str, served: Counter[str], before: Account, after: Account) -> None:
        counted = Counter(after.errors) - Counter(before.errors)
        expected = Counter({kind: served[kind] for kind in FAULTS if kind not in ("empty", "truncated")})
        expected["Malformed"] += served["empty"]
        self._check(counted == +expected, f"{name}: errors of the ledger {counted}, of the endpoint {expected}")

    def _client(self, kill_after: int | None, token_limit: int | None) -> Counter[str]:
        command = [sys.executable, __file__, "--client", "--url", self.server.url, "--folder", str(self.folder)]
        command += ["--calls", str(self.calls), "--timeout", str(self.timeout_s)]
        command += ["--token-limit", str(token_limit)] if token_limit else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**WAITS, **os.environ})
        if kill_after is None:
            output, _ = process.communicate()
            self._check(process.returncode == 0, f"the client ended with {process.returncode}")
            return Counter(json.loads(output or b"{}"))
        while self.endpoint.attempts.total() < kill_after and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self._check(process.returncode == -signal.SIGKILL, "the client ended before it was killed")
        return Counter()

    def _ledger(self) -> Account:
        ledger = Ledger(self.folder / "ledger.jsonl")
        ledger.close()
        return ledger.total

    def _kept(self) -> set[int]:
        """Questions that the cache answers."""
        model = f"openai/soak@{self.server.url}/v1"
        names = {path.stem for path in (self.folder / "cache").rglob("*.json")}
        return {number for number in range(self.calls) if request_key(model, question(number)) in names}

    def _check(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


def soak(calls: int, folder: Path, seed: int, timeout_s: float, faults: dict[str, float] | None = None) -> Soak:
    """All three phases; `problems` says what failed."""
    endpoint = FaultyEndpoint(seed, faults or FAULTS)
    with Loopback(endpoint) as server:
        done = Soak(calls, folder, endpoint, server, timeout_s)
        done.run()
    return done


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds; well above any pause of this machine")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--token-limit", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.client:
        client(arguments)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        done = soak(arguments.calls, Path(folder), arguments.seed, arguments.timeout)
    report(done, arguments.csv)
    return 1 if done.problems else 0


def report(done: Soak, path: Path | None) -> None:
    rows: list[dict[str, Any]] = [asdict(row) for row in done.rows]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    served = sum(done.endpoint.served.values(), Counter[str]())
    print("the endpoint:", ", ".join(f"{kind} {count}" for kind, count in served.most_common()))
    print("\n".join(f"FAILED: {problem}" for problem in done.problems) or "all checks hold")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [column.name for column in fields(Row)])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
