"""Keeps the worker processes of one host alive."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from code_judge.sandbox import syscalls
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import remove_tree
from code_judge.sandbox.uids import SLOTS_PER_SUPERVISOR, kill_uid, slot_uid
from code_judge.supervisor import UNSAFE_EXIT

log = logging.getLogger(__name__)
SLOTS_PER_PROCESS = 8
QUEUE_ENV = "CODE_JUDGE_QUEUE_URL"
_CHECK_S = 0.25
_STOP_S = 8.0


@dataclass
class WorkerPool:
    """`workers` concurrent runs, spread over processes. Use from the main thread: workers end with it."""

    queue_url: str
    workers: int
    run_dir: Path
    _children: dict[int, tuple[subprocess.Popen[bytes], int]] = field(default_factory=dict)

    def start(self) -> None:
        # At least two processes where there are two slots, so that the loss of one never stops the service.
        processes = min(self.workers, max(2, -(-self.workers // SLOTS_PER_PROCESS)))
        for index in range(processes):
            share = self.workers // processes + (1 if index < self.workers % processes else 0)
            self._start_one(share)

    def _start_one(self, slots: int) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "code_judge", "supervise", "--slots", str(slots), "--run-dir", str(self.run_dir)],
            env={**os.environ, QUEUE_ENV: self.queue_url},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: syscalls.die_with_parent(signal.SIGTERM),
            start_new_session=True,
        )
        self._children[process.pid] = (process, slots)

    async def watch(self) -> None:
        """Replace workers that end. What their runs left behind is killed and removed first.

        Returns only when a worker refused to start, as the isolation it can give is too weak.
        """
        while True:
            await asyncio.sleep(_CHECK_S)
            for pid, (process, slots) in list(self._children.items()):
                if process.poll() == UNSAFE_EXIT:
                    return
                if process.poll() is not None:
                    log.warning("worker process %d ended with %s; starting another", pid, process.returncode)
                    del self._children[pid]
                    self._clean_after(pid, slots)
                    self._start_one(slots)

    def _clean_after(self, pid: int, slots: int) -> None:
        if os.geteuid() == 0:
            for slot in range(min(SLOTS_PER_SUPERVISOR, 4 * slots + 1)):
                try:
                    kill_uid(slot_uid(pid, slot))
                except OSError as error:
                    log.warning("cannot clean up after worker %d: %s", pid, error)
        for left in self.run_dir.glob(f"judge-{pid}-*"):
            remove_tree(left)
        if (groups := CgroupHome.find()) is not None:
            groups.sweep(f"code-judge-{pid}-")

    def stop(self) -> None:
        """End all workers and what they ran."""
        for process, _ in self._children.values():
            process.terminate()
        for pid, (process, slots) in self._children.items():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._clean_after(pid, slots)
        self._children.clear()
