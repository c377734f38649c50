"""One level under attack: a slot that runs attacks, a sibling slot with a program of somebody else, and the baits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import code_judge
from code_judge.attack.aftermath import Before, next_run, said_or_sent, take_away
from code_judge.attack.baits import Baits, digests, lay_out
from code_judge.attack.model import Attack, Row, Scene, Verdict
from code_judge.attack.prelude import PRELUDE
from code_judge.attack.sibling import Sibling
from code_judge.attack.watch import Peaks, watching
from code_judge.builds import BuildCache
from code_judge.executor import Executor
from code_judge.jobs import Job, Outcome, Report, RunLimits
from code_judge.languages import Compiler
from code_judge.sandbox.host import Host, Means
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.levels import Isolation
from code_judge.sandbox.slot import Slot
from code_judge.slots import SlotPool

_SETTLE_S = 0.02
_LATE_S = 6.0
HOST_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/", "/etc", "/usr/bin")
HOST_FILES = ("/etc/passwd", "/etc/shadow", "/etc/hostname")
Loosen = Callable[[RunLimits], RunLimits]


@dataclass
class OneSlot(SlotPool):
    """Gives every job the same slot, so that what one run leaves meets the next. A dead one is replaced."""

    current: Slot | None = None

    @contextlib.asynccontextmanager
    async def slot(self, kind: Kind) -> AsyncIterator[Slot]:
        if self.current is None or not self.current.alive:
            self.close()
            slot = self.host.make(self.means, Kind.BARE)
            try:
                await slot.start()
            except BaseException:
                self.host.dispose(slot)
                raise
            self.current = slot
        yield self.current

    def close(self) -> None:
        slot, self.current = self.current, None
        if slot is not None:
            self.host.dispose(slot)


@dataclass
class Arena:
    """`loosen` changes the limits that are given, not those that attacks are held to: then something must get out."""

    host: Host
    isolation: Isolation
    baits: Baits
    pool: OneSlot
    executor: Executor
    sibling: Sibling
    loosen: Loosen

    async def attempt(self, attack: Attack) -> Row:
        """One attack and everything it did."""
        why = self._not_here(attack)
        if why:
            return Row(attack, Verdict.NOT_APPLICABLE, why)
        begun = time.monotonic()
        async with self.pool.slot(Kind.BARE) as slot:
            before = Before.now(slot, [self.baits.victim.pid, *self.sibling.pids()])
        scene = await self._scene(attack, slot)
        await asyncio.sleep(_SETTLE_S)  # what is under way to a bait arrives
        found = [said for check in attack.checks if (said := check(scene))]
        found += said_or_sent(scene, self.baits) + self.baits.harm() + self.sibling.harm()
        found += before.differences(self.pool.current, [*self.folders(), str(self.host.base_dir)], self.baits.token)
        if scene.elapsed_s > attack.limits.wall_s + _LATE_S:
            found.append(f"the answer came after {scene.elapsed_s:.1f} s")
        if any(report.outcome is Outcome.INFRA_ERROR for report in scene.reports):
            found.append(f"no verdict: {scene.last.detail}")
        found += await next_run(self.executor)
        if found:
            await self._repair()
        verdict = Verdict.ESCAPED if found else Verdict.CONTAINED
        return Row(attack, verdict, "; ".join(dict.fromkeys(found)), time.monotonic() - begun)

    def _not_here(self, attack: Attack) -> str:
        if self.isolation.level < attack.since:
            return attack.below
        if attack.machine and attack.machine != os.uname().machine:
            return f"only on {attack.machine}"
        return "no C++ compiler here" if attack.language == "cpp" and self.executor.compiler is None else ""

    async def _scene(self, attack: Attack, slot: Slot) -> Scene:
        mark = f"MARK_{os.urandom(8).hex()}"
        reports, peaks, elapsed = [], Peaks(), 0.0
        for step in range(len(attack.steps)):
            targets = [self.baits.victim.pid, *self.sibling.pids()]
            begun = time.monotonic()
            async with watching(lambda: self.pool.current, targets) as seen:
                reports.append(await self._step(attack, step, mark))
                elapsed = time.monotonic() - begun
            peaks = seen
        kept = slot.alive and self.pool.current is slot
        files, size = digests(self.files()), self.baits.size
        return Scene(self.isolation.level, attack.limits, tuple(reports), elapsed, peaks, files, size, mark, kept)

    async def _step(self, attack: Attack, step: int, mark: str) -> Report:
        source = (PRELUDE if attack.language == "python" else "") + attack.steps[step]
        source = source.replace("@SECRET_FILE@", str(self.baits.secret_file))
        source = source.replace("@EARLIER@", self.baits.secrets["earlier"])
        facts = json.dumps({**self._facts(), "mark": mark if step == 0 else ""})
        limits = self.loosen(attack.limits)
        job = Job(f"{attack.id}-{step}", attack.language, source, facts, False, limits, fetch=list(attack.fetch))
        return await self.executor.execute(job)

    def _facts(self) -> dict[str, object]:
        baits = self.baits
        return {
            "token": baits.token, "servers": baits.servers, "victim": baits.victim.pid, "supervisor": os.getpid(),
            "siblings": self.sibling.pids(), "sibling_files": self.sibling.paths(), "folders": self.folders(),
            "library": self.library(),
            "files": self.files(), "secret_file": str(baits.secret_file), "open_file": str(baits.open_file),
            "bait": str(baits.directory), "base_dir": str(self.host.base_dir), "ipc": baits.ipc.ids,
        }  # fmt: skip

    def folders(self) -> list[str]:
        """Where no run may make a file."""
        return [str(self.baits.directory), *HOST_FOLDERS, *self.library(), str(Path(code_judge.__file__).parent)]

    def library(self) -> list[str]:
        """Of the interpreter that runs use."""
        return [str(path) for path in self.host.interpreter.trees if path.is_dir()]

    def files(self) -> list[str]:
        """What no run may read."""
        package = Path(code_judge.__file__).parent
        return [str(self.baits.secret_file), *HOST_FILES, str(package / "supervisor.py"), str(package / "cli.py")]

    async def _repair(self) -> None:
        """Fresh slots and baits for the next attack."""
        self.pool.close()
        self.baits.restore()
        await self.sibling.start()


@contextlib.asynccontextmanager
async def arena(host: Host, means: Means, isolation: Isolation, loosen: Loosen = lambda limits: limits):
    """An arena with everything in place. Raises SlotLost or OSError when a slot does not start."""
    pool = OneSlot(host, means, capacity=1)
    executor = Executor(pool, isolation, Compiler.find("g++"), BuildCache(host.base_dir / "builds"))
    async with lay_out() as baits:
        sibling = Sibling(host, means, baits.secrets["sibling"])
        ground = Arena(host, isolation, baits, pool, executor, sibling, loosen)
        try:
            await sibling.start()
            yield ground
        finally:
            take_away(ground.folders(), baits.token)
            pool.close()
            await sibling.stop()
