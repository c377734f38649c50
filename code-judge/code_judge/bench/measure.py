"""One measurement: wait until the machine is quiet, load the service, count the CPU time of all its processes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from code_judge.bench.scenarios import Scenario, Target, play
from code_judge.embedded import EmbeddedJudge
from code_judge.sandbox import proctree

QUIET, _LOOK_S, _PATIENCE_S = 0.88, 0.5, 30.0


@dataclass(frozen=True)
class Row:
    """One play of a scenario. `idle`: share of the cores that was free before it began."""

    level: str
    isolation: str
    scenario: str
    repeat: int
    runs: int
    failed: int
    seconds: float
    rate: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    idle: float


def _cpu_times() -> tuple[int, int]:
    words = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return words[3] + words[4], sum(words)


def idle_share(seconds: float = _LOOK_S) -> float:
    """Of all cores together, over the next `seconds`."""
    idle, total = _cpu_times()
    time.sleep(seconds)
    idle_after, total_after = _cpu_times()
    return (idle_after - idle) / max(1, total_after - total)


def wait_until_quiet(patience_s: float = _PATIENCE_S) -> float:
    """The idle share at the end: below QUIET when others kept the machine busy for so long."""
    deadline = time.monotonic() + patience_s
    while (share := idle_share()) < QUIET and time.monotonic() < deadline:
        pass
    return share


def measure(judge: EmbeddedJudge, level: str, isolation: str, scenario: Scenario, repeat: int, scale: float) -> Row:
    """Raises what the scenario raises, RuntimeError when the service answers nothing at all among it."""
    target, size = Target(judge.url, judge.token), max(1, round(scenario.size * scale))
    play(scenario, target, max(1, min(scenario.warm or scenario.size // 10, size)))
    idle = wait_until_quiet()
    before = proctree.usage(judge.pids).cpu_s
    load = play(scenario, target, size)
    cpu = proctree.usage(judge.pids).cpu_s - before
    return Row(
        level, isolation, scenario.name, repeat, load.runs, load.failed, load.seconds, load.rate,
        1000 * cpu / load.runs, load.percentile(50), load.percentile(99), idle,
    )  # fmt: skip


def best(rows: Iterable[Row]) -> Iterator[Row]:
    """The fastest of each scenario and level: other load on a machine only ever slows a run down."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.level, row.scenario
        if key not in found or row.rate > found[key].rate:
            found[key] = row
    yield from found.values()
