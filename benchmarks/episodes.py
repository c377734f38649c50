"""What the store of episodes and the runner cost.

    python benchmarks/episodes.py                       # 10,000 runs of 10 steps, in a temporary folder
    python benchmarks/episodes.py --runs 2000 --folder runs/store-bench

Seconds are CPU seconds of this process, the kernel's part included, so that a busy machine does not change them much;
wall seconds stand beside them. `runner`: a trivial agent without a store, with and without a limit of wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cleartrace.agents.protocol import RunRequest  # noqa: E402
from cleartrace.agents.runner import Runner  # noqa: E402
from cleartrace.episodes.identity import TaskKey  # noqa: E402
from cleartrace.episodes.index import INDEX_FILE  # noqa: E402
from cleartrace.episodes.store import EpisodeStore  # noqa: E402
from cleartrace.episodes.types import Context, Episode, Outcome, Step, StepKind, Task, Trajectory  # noqa: E402

TASKS = 1000
CONTEXT = Context(text="Check the date before you book.", provider_hash="bench")


class Trivial:
    """An agent and a provider that do nothing: what is left is the runner."""

    hash = "trivial"

    async def context_for(self, task: Task, seed: int) -> Context:
        return CONTEXT

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        return DONE


DONE = Episode(
    trajectory=Trajectory(environment="bench", task_id="t", agent="trivial", context=CONTEXT),
    outcome=Outcome(score=1.0),
)


def measured(name: str, n: int, work: Callable[[], Any]) -> Any:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:28} {cpu:8.3f} s CPU {wall:8.3f} s wall {cpu / n * 1e6:10.1f} us CPU each")
    return result


def episodes(n: int) -> list[Episode]:
    steps = tuple(Step(kind=StepKind.MESSAGE, text="word " * 60) for _ in range(10))
    made = []
    for i in range(n):
        run = Trajectory(
            environment="bench", task_id=f"t{i % TASKS}", agent="a", seed=i // TASKS, context=CONTEXT, steps=steps
        )
        made.append(Episode(trajectory=run, outcome=Outcome(score=float(i % 2))))
    return made


def store_costs(folder: Path, n: int) -> None:
    store = EpisodeStore(folder)
    made = episodes(n)
    ids = measured("add", n, lambda: [store.add(episode) for episode in made])
    measured("add what is there", n, lambda: [store.add(episode) for episode in made])
    store = measured("open", 1, lambda: EpisodeStore(folder))
    measured("group of one task", TASKS, lambda: [store.group(TaskKey("bench", f"t{i}")) for i in range(TASKS)])
    measured("find by seed", 1, lambda: store.find(seed=0))
    few = ids[:1000]
    measured("get", len(few), lambda: [store.get(id) for id in few])
    (folder / INDEX_FILE).unlink()
    measured("open without an index", 1, lambda: EpisodeStore(folder))


def runner_costs(n: int) -> None:
    trivial = Trivial()
    requests = [RunRequest(Task(environment="bench", id=f"t{i % TASKS}", input="x"), i, trivial) for i in range(n)]
    for name, limit_s in (("runner", None), ("runner with a time limit", 60.0)):
        runner = Runner(trivial, time_limit_s=limit_s)
        measured(name, n, lambda runner=runner: asyncio.run(runner.run(requests)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="an empty folder for the store; kept")
    chosen = parser.parse_args()
    print(f"python benchmarks/episodes.py --runs {chosen.runs}")
    with tempfile.TemporaryDirectory() as temporary:
        store_costs(chosen.folder or Path(temporary), chosen.runs)
    runner_costs(2 * chosen.runs)


if __name__ == "__main__":
    main()
