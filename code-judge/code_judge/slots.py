"""The warm slots of one supervisor: by kind, replaced when used up, ended when idle for long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from code_judge.sandbox.host import Host, Means
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.slot import Slot

log = logging.getLogger(__name__)
RUNS_PER_SLOT = 5000
IDLE_S = 300.0
OF_SESSIONS = 8
"""Idle slots kept beyond one of each kind per concurrent run: as many sessions may have ended at once."""


@dataclass
class SlotPool:
    """Hands out slots. The caller bounds how many are out at a time."""

    host: Host
    means: Means
    capacity: int
    _idle: dict[Kind, list[Slot]] = field(default_factory=lambda: defaultdict(list))
    restarts: int = 0
    lost: int = 0

    async def prepare(self) -> None:
        """Start the slots of the smallest kind. Raises SlotLost or OSError."""
        slots = [self.host.make(self.means, Kind.BARE) for _ in range(self.capacity)]
        await asyncio.gather(*(slot.start() for slot in slots))
        self._idle[Kind.BARE] += slots

    @contextlib.asynccontextmanager
    async def slot(self, kind: Kind) -> AsyncIterator[Slot]:
        """A slot for one job. Raises SlotLost or OSError when none can be started."""
        slot = await self._take(kind)
        try:
            yield slot
        finally:
            self._give_back(slot, kind)

    async def _take(self, kind: Kind) -> Slot:
        idle = self._idle[kind]
        while idle:
            slot = idle.pop()
            if slot.alive:
                return slot
            self._dispose(slot)
        return await self._start(kind)

    async def _start(self, kind: Kind) -> Slot:
        self.restarts += 1
        slot = self.host.make(self.means, kind)
        try:
            await slot.start()
        except BaseException:
            self._dispose(slot)
            raise
        return slot

    def _give_back(self, slot: Slot, kind: Kind) -> None:
        if not slot.alive or slot.runs >= RUNS_PER_SLOT:
            self.lost += not slot.alive
            self._dispose(slot)
            return
        slot.idle_since = time.monotonic()
        self._idle[kind].append(slot)
        self.trim()

    def trim(self) -> None:
        """End slots beyond what is kept: idle for long, or more than all kinds and some sessions need."""
        now = time.monotonic()
        for kind, idle in self._idle.items():
            kept = self.capacity if kind is Kind.BARE else 0
            while len(idle) > kept and now - idle[0].idle_since > IDLE_S:
                self._dispose(idle.pop(0))
        while sum(map(len, self._idle.values())) > len(Kind) * self.capacity + OF_SESSIONS:
            longest = min((idle for idle in self._idle.values() if idle), key=lambda idle: idle[0].idle_since)
            self._dispose(longest.pop(0))

    def _dispose(self, slot: Slot) -> None:
        try:
            self.host.dispose(slot)
        except OSError as error:
            log.warning("cannot clean up after a slot: %s", error)

    def close(self) -> None:
        """End all idle slots."""
        for idle in self._idle.values():
            while idle:
                self._dispose(idle.pop())
