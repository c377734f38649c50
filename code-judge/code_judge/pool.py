"""Keeps the worker processes of one host alive."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from code_judge.sandbox import proctree, syscalls
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import remove_tree
from code_judge.sandbox.uids import SLOTS_PER_SUPERVISOR, kill_uid, slot_uid
from code_judge.settings import QUEUE_ENV
from code_judge.supervisor import worker_name
from code_judge.worker import UNSAFE_EXIT

log = logging.getLogger(__name__)
SLOTS_PER_PROCESS = 8
_CHECK_S = 0.25
_HALTED_S = 0.5
_STOP_S = 8.0


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]
    slots: int
    token: str
    """Makes its name in the queue unique."""

    @property
    def name(self) -> str:
        return worker_name(self.process.pid, self.token)


@dataclass
class WorkerPool:
    """`workers` concurrent runs, spread over processes. Use from the main thread: workers end with it."""

    queue_url: str
    workers: int
    run_dir: Path
    shared_fds: tuple[int, ...] = ()
    """Descriptors that the workers hold too, as long as they live."""
    _children: dict[int, _Child] = field(default_factory=dict)
    _halted: dict[int, int] = field(default_factory=dict)

    def start(self) -> None:
        # At least two processes where there are two slots, so that the loss of one never stops the service.
        processes = min(self.workers, max(2, -(-self.workers // SLOTS_PER_PROCESS)))
        for index in range(processes):
            share = self.workers // processes + (1 if index < self.workers % processes else 0)
            self._start_one(share)

    def _start_one(self, slots: int, replaces: str = "") -> None:
        token = uuid.uuid4().hex[:8]
        command = [sys.executable, "-m", "code_judge.supervise", "--slots", str(slots), "--token", token]
        process = subprocess.Popen(
            [*command, "--run-dir", str(self.run_dir), "--replaces", replaces],
            env={**os.environ, QUEUE_ENV: self.queue_url},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: syscalls.die_with_parent(signal.SIGTERM),
            start_new_session=True,
            pass_fds=self.shared_fds,
        )
        self._children[process.pid] = _Child(process, slots, token)

    async def watch(self) -> None:
        """Replace workers that end. What their runs left behind is killed and removed first.

        Returns only when a worker refused to start, as the isolation it can give is too weak.
        """
        while True:
            await asyncio.sleep(_CHECK_S)
            for pid, child in list(self._children.items()):
                process = child.process
                if process.poll() == UNSAFE_EXIT:
                    return
                if proctree.is_stopped(pid):
                    # Halted from outside: its lease runs out, and nobody else would ever end it.
                    self._halted[pid] = self._halted.get(pid, 0) + 1
                    if self._halted[pid] * _CHECK_S >= _HALTED_S:
                        log.warning("worker process %d was halted; ending it", pid)
                        process.kill()
                else:
                    self._halted.pop(pid, None)
                if process.poll() is not None:
                    log.warning("worker process %d ended with %s; starting another", pid, process.returncode)
                    del self._children[pid]
                    self._clean_after(pid, child.slots)
                    self._start_one(child.slots, child.name)

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
        for child in self._children.values():
            child.process.terminate()
        for pid, child in self._children.items():
            try:
                child.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            self._clean_after(pid, child.slots)
        self._children.clear()
