"""Isolation levels, and what one gives in parts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property, total_ordering


@total_ordering
class Level(Enum):
    """From nothing but limits to namespaces with a cgroup. Ordered."""

    L0 = "rlimits"
    L1 = "landlock"
    L2 = "namespaces"
    L3 = "namespaces+cgroup"

    def __lt__(self, other: Level) -> bool:
        return self.name < other.name

    @classmethod
    def parse(cls, text: str) -> Level:
        """From `L2` or `2`. Raises ValueError naming the levels."""
        for level in cls:
            if text.upper() in (level.name, level.name[1:]):
                return level
        raise ValueError(f"{text!r} is not an isolation level: L0, L1, L2 or L3")

    @property
    def has_namespaces(self) -> bool:
        return self >= Level.L2


@dataclass(frozen=True)
class Isolation:
    """What confines the runs of one worker. Each part names the primitive that gives it, '' for none."""

    level: Level
    user: str = ""
    """Whose rights a run has: `uid` its own, `userns` the worker's inside a user namespace."""
    fs: str = ""
    net: str = ""
    pid: str = ""
    signal: str = ""
    mem: str = "rlimit"
    pids: str = "rlimit"
    disk: str = "rlimit"
    cold: tuple[str, ...] = ()
    """Languages whose programs start by a command of the operator's. It runs inside the same confinement."""

    @cached_property
    def label(self) -> str:
        """For example `L2-namespaces+uid+net`."""
        parts = [name for name, held in ((self.user, self.user), ("net", self.net)) if held]
        return "+".join([f"{self.level.name}-{self.level.value.partition('+')[0]}", *parts])

    def label_of(self, cold: bool) -> str:
        """The label of one result."""
        return f"{self.label}+cold" if cold else self.label

    def parts(self) -> dict[str, str]:
        """The sub-capabilities for `/status` and the metrics."""
        names = ("fs", "net", "pid", "signal", "mem", "pids", "disk")
        cold = {"cold": ", ".join(self.cold)} if self.cold else {}
        return {name: getattr(self, name) or "none" for name in names} | cold
