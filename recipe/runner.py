"""Runs of a study: what has its CSV is not run again, an interrupt ends those under way, the same command resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol


class Job(Protocol):
    """One run of a study. `csv` is what it leaves; its folder holds `console.log`."""

    @property
    def name(self) -> str: ...

    @property
    def csv(self) -> Path: ...

    @property
    def run_dir(self) -> Path: ...

    def commands(self) -> list[list[str]]:
        """What to run, in order; asked for again where a run is resumed."""
        ...

    def export(self) -> None:
        """Write the CSV, whole or not at all."""
        ...


class Runner:
    """Runs jobs, some at a time."""

    def __init__(self, jobs_at_a_time: int):
        self._at_a_time = jobs_at_a_time
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()

    def stop_on_signals(self) -> None:
        """From now on an interrupt of this process ends what is under way."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def run_all(self, jobs: Sequence[Job]) -> Iterator[str]:
        """One line per job, in the order of `jobs`."""
        with ThreadPoolExecutor(self._at_a_time) as pool:
            yield from pool.map(self._run, jobs)

    def _run(self, job: Job) -> str:
        if job.csv.exists():
            return f"{job.name}: there already"
        job.run_dir.mkdir(parents=True, exist_ok=True)
        for command in job.commands():
            if self._stopping.is_set():
                return f"{job.name}: not finished"
            with (job.run_dir / "console.log").open("a") as log:
                process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
                self._running.append(process)
                status = process.wait()
            if status != 0:
                where = f"{job.run_dir}/console.log"
                return f"{job.name}: failed with exit status {status}; see {where}, then run this again"
        job.export()
        return f"{job.name}: done"

    def _stop(self, number: int, frame: object) -> None:
        del frame
        self._stopping.set()
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            process.wait()
        os._exit(128 + number)
