"""How soon code-judge is back at its full rate after a part of it is killed, as seen by eight clients that never stop.

    python benchmarks/judge_recovery.py --repeats 3 --csv docs/results/judge/recovery.csv

Two figures per event: the longest time in which no run came back, and how long after the event the rate over the next
half second was again at least 90 % of the median before. A run that failed is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import os
import signal
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from code_judge.bench.floors import PROGRAM
from code_judge.bench.load import Connection
from code_judge.bench.measure import wait_until_quiet
from code_judge.bench.scenarios import Target
from code_judge.embedded import EmbeddedJudge
from code_judge.sandbox import proctree

CLIENTS, BEFORE_S, AFTER_S, WINDOW_S, SHARE = 8, 5.0, 12.0, 0.5, 0.9


@dataclass(frozen=True)
class Row:
    """Seconds after the event; `rate_before` in runs per second."""

    event: str
    repeat: int
    rate_before: float
    longest_gap_s: float
    full_rate_after_s: float
    runs: int
    failed: int


def processes(judge: EmbeddedJudge, word: str) -> list[int]:
    """Those of the service whose command line holds `word`."""
    found = []
    for pid in judge.pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # runs come and go
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def slots(judge: EmbeddedJudge) -> list[int]:
    return [pid for worker in processes(judge, "code_judge.supervise") for pid in proctree.children(worker)]


EVENTS: dict[str, Callable[[EmbeddedJudge], list[int]]] = {
    "queue server": lambda judge: processes(judge, "valkey-server"),
    "one worker": lambda judge: processes(judge, "code_judge.supervise")[:1],
    "all workers": lambda judge: processes(judge, "code_judge.supervise"),
    "one slot": lambda judge: slots(judge)[:1],
}


async def load(judge: EmbeddedJudge, kill: Callable[[EmbeddedJudge], list[int]]) -> tuple[list[float], int, float]:
    """When runs came back (seconds from the start), how many failed, and when the event was."""
    request = Target(judge.url, judge.token).request("/run", {"type": "python", "solution": PROGRAM})
    begun = time.monotonic()
    done: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        connection = await Connection.open(judge.url)
        while time.monotonic() - begun < BEFORE_S + AFTER_S:
            status, body = await connection.post(request)
            failed += status != 200 or b'"outcome":"ok"' not in body
            done.append(time.monotonic() - begun)
        connection.close()

    async def event() -> float:
        await asyncio.sleep(BEFORE_S)
        victims = kill(judge)
        at = time.monotonic() - begun
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        return at

    *_, at = await asyncio.gather(*(client() for _ in range(CLIENTS)), event())
    return done, failed, at


def row_of(event: str, repeat: int, done: list[float], failed: int, at: float) -> Row:
    """From the times of a play."""
    done = sorted(done)

    def rate(begin: float) -> float:
        return (bisect_left(done, begin + WINDOW_S) - bisect_left(done, begin)) / WINDOW_S

    steps = [n * WINDOW_S / 10 for n in range(int((AFTER_S - WINDOW_S) / WINDOW_S * 10))]
    before = statistics.median(rate(begin) for begin in (1 + n * WINDOW_S for n in range(int((at - 1) / WINDOW_S) - 1)))
    gaps = [later - one for one, later in zip(done, done[1:], strict=False) if later >= at]
    # The window right after the event still holds what was under way: look from the longest gap on.
    longest = max(gaps)
    end_of_gap = next(
        later for one, later in zip(done, done[1:], strict=False) if later >= at and later - one == longest
    )
    full = next((s for s in steps if at + s >= end_of_gap - longest and rate(at + s) >= SHARE * before), AFTER_S)
    return Row(event, repeat, before, longest, full, len(done), failed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as logs:
        for event, kill in EVENTS.items():
            for repeat in range(options.repeats):
                with EmbeddedJudge(logs, workers=2) as judge:
                    wait_until_quiet()
                    rows.append(row_of(event, repeat, *asyncio.run(load(judge, kill))))
                print(rows[-1], flush=True)
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, [one.name for one in fields(Row)], lineterminator="\n")
            writer.writeheader()
            for row in rows:
                writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(row).items()})
    sys.exit(any(row.failed for row in rows))


if __name__ == "__main__":
    main()
