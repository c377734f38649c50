"""What an attack is, and what is seen of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from code_judge.attack.watch import Peaks
from code_judge.jobs import Report, RunLimits
from code_judge.sandbox.levels import Level

LIMITS = RunLimits(
    cpu_s=3, wall_s=6, memory_mb=256, output_bytes=1 << 20, output_chars=1 << 20, processes=16
)  # fmt: skip


class Verdict(str, Enum):
    """Terminal state of an attack at one level."""

    CONTAINED = "contained"
    ESCAPED = "ESCAPED"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Scene:
    """What an attack did: everything here was measured outside of it, but the texts in `reports`."""

    level: Level
    limits: RunLimits
    """What the attack is held to."""
    reports: tuple[Report, ...]
    """One per step."""
    elapsed_s: float
    """From start to answer of the last step."""
    peaks: Peaks
    """Highest values during the last step."""
    digests: Mapping[str, str]
    """SHA-256 of the files that the host has, by their paths."""
    secret_size: int
    """Bytes of the secret file."""
    mark: str
    """A word that only the first step was told."""
    slot_kept: bool
    """Whether the slot that ran the attack still lives."""

    @property
    def last(self) -> Report:
        return self.reports[-1]


Check = Callable[[Scene], str]
"""'' when the attack was held, else what got out."""


@dataclass(frozen=True)
class Attack:
    """`steps` are programs, run one after another in the same slot; each reads facts about its targets on stdin.

    A line `CLAIM ...` on stdout says that something succeeded which must not: that much a program is believed.
    """

    id: str
    title: str
    steps: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    limits: RunLimits = LIMITS
    language: str = "python"
    fetch: tuple[str, ...] = ()
    since: Level = Level.L1
    """Levels below it do not promise to hold this; `below` says why."""
    below: str = ""
    machine: str = ""
    """Only for this architecture; '' for all."""


@dataclass(frozen=True)
class Row:
    """One attack at one level. `why`: what got out, or why it was not tried."""

    attack: Attack
    verdict: Verdict
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Column:
    """All attacks at one level; `name` is the isolation's label, or the level where it is not available."""

    level: Level
    name: str
    rows: tuple[Row, ...] = field(default_factory=tuple)
    unavailable: str = ""
    """Why the level does not hold on this machine."""

    def count(self, verdict: Verdict) -> int:
        return sum(row.verdict is verdict for row in self.rows)
