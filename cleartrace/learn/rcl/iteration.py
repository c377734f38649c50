"""What every phase of an iteration needs, and what its halves hand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Episode, Task
from cleartrace.learn.protocol import Reflection
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.groups import Group
from cleartrace.learn.rcl.journal import Journal, NoJournal
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.runs import Scored, scored
from cleartrace.learn.rcl.sampler import Batch, SamplerState
from cleartrace.learn.rcl.state import Best, Edit
from cleartrace.learn.rcl.streams import seed_of


@dataclass(frozen=True)
class Iteration:
    """What every phase of an iteration needs.

    Args:
        tasks: of training, by id, in their order.
        phase: told the name of each phase as it begins.
        detailed: whether the record for people is wanted.
    """

    config: RclConfig
    parts: Parts
    tasks: Mapping[str, Task]
    number: int
    journal: Journal = field(default_factory=NoJournal)
    phase: Callable[[str], None] = lambda name: None
    detailed: bool = False

    def seed(self, *name: object) -> int:
        return seed_of(self.config.seed, *name, self.number)


@dataclass(frozen=True)
class Ran:
    """The first half: runs, the sampler that has seen them, and the best playbook after the validation."""

    batch: Batch
    groups: list[Group]
    sampler: SamplerState
    train: Scored
    validation: list[Episode]
    best: Best | None

    @property
    def episodes(self) -> list[Episode]:
        return [run for one in self.groups for run in one.episodes]

    @property
    def val(self) -> Scored:
        return scored(self.validation)


@dataclass(frozen=True)
class Learned:
    """The second half: the playbook from here on, and how it came about. `note`: why nothing was edited."""

    playbook: Playbook
    reflections: tuple[Reflection, ...] = ()
    edit: Edit = Edit()
    summary: str = ""
    more_runs: tuple[str, ...] = ()
    acceptance: dict[str, Any] = field(default_factory=dict)
    acceptance_runs: int = 0
    kept: int = 0
    note: str = ""
