"""The processes of a judge, any of which may end while a test looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psutil

from code_judge.embedded import EmbeddedJudge

T = TypeVar("T")


def of_those_alive(judge: EmbeddedJudge, fact: Callable[[psutil.Process], T]) -> dict[int, T]:
    """pid -> `fact(process)`, without the processes that ended before it was known."""
    facts: dict[int, T] = {}
    for pid in judge.pids:
        try:
            facts[pid] = fact(psutil.Process(pid))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return facts


def supervisors(judge: EmbeddedJudge) -> list[int]:
    commands = of_those_alive(judge, lambda process: " ".join(process.cmdline()))
    return [pid for pid, command in commands.items() if "supervise" in command]


def queue_url(judge: EmbeddedJudge) -> str:
    environments = of_those_alive(judge, lambda process: process.environ())
    return next(e["CODE_JUDGE_QUEUE_URL"] for e in environments.values() if e.get("CODE_JUDGE_QUEUE_URL"))
