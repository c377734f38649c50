"""A run of somebody else beside the attacks."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from code_judge.sandbox import private_root, proctree
from code_judge.sandbox.host import Host, Means
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.slot import Mode, Request, Slot, SlotLimits, SlotLost

_SETTLE_S = 0.05
_PROGRAM = b"import time\nheld = open(0).read(), open('own.txt').read()\nwhile True: time.sleep(0.5)\n"
_LIMITS = SlotLimits(cpu_s=600, wall_s=3600, memory=256 << 20, output=1 << 16, processes=16, file_size=1 << 20)


@dataclass
class Sibling:
    """A run of somebody else, in another slot of the same worker."""

    host: Host
    means: Means
    secret: str
    slot: Slot | None = None
    _run: asyncio.Task[object] | None = None

    async def start(self) -> None:
        """Anew, if it runs already. Raises SlotLost or OSError."""
        await self.stop()
        self.slot = self.host.make(self.means, Kind.BARE)
        await self.slot.start()
        text = self.secret.encode()
        files = {"main.py": _PROGRAM, "own.txt": text}
        self._run = asyncio.create_task(self.slot.run(Request(Mode.PROGRAM, files, text, _LIMITS)))
        while not proctree.descendants(self.slot.pid):
            await asyncio.sleep(_SETTLE_S)

    async def stop(self) -> None:
        if self._run is not None:
            self._run.cancel()
            with contextlib.suppress(asyncio.CancelledError, SlotLost):
                await self._run
        if self.slot is not None:
            self.host.dispose(self.slot)
        self.slot = self._run = None

    def pids(self) -> list[int]:
        return [] if self.slot is None else [self.slot.pid, *proctree.descendants(self.slot.pid)]

    def paths(self) -> list[str]:
        """Ways to its file."""
        if self.slot is None:
            return []
        stage, own = self.slot.config.stage, Path(self.slot.work) / "own.txt"
        ways = [str(Path("/proc", str(pid), "cwd", own.name)) for pid in self.pids()]
        ways += [f"/proc/{pid}/root{own}" for pid in self.pids()]
        return [str(own), str(Path(stage, "work", own.name)), f"{stage}{private_root.WORK}/{own.name}", *ways]

    def harm(self) -> list[str]:
        if self.slot is None or self._run is None or self._run.done():
            return ["another slot's run was ended"]
        if self.slot.read_file("own.txt", 1 << 10) != self.secret.encode():
            return ["another run's file was changed"]
        return ["another slot's process was stopped"] if any(map(proctree.is_stopped, self.pids())) else []
