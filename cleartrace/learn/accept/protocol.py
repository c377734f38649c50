"""Whether an edit of a playbook stays. A policy sees the edit and may run both sides; it changes nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from cleartrace.context.playbook.ops import Operation
from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Record, Task
from cleartrace.learn.credit.draws import Draw


class Standing(str, Enum):
    """What is known about an edit. Only `VALIDATED` says that somebody measured that it helps (R29)."""

    UNTESTED = "untested"
    VALIDATED = "validated"
    HARMFUL = "harmful"
    NO_EFFECT_SHOWN = "no_effect_shown"
    BUDGET_SHORT = "budget_short"


@dataclass(frozen=True)
class Case:
    """Edits that wait for judgement.

    Args:
        current: the playbook in force.
        operations: those wanted, in order.
        affected: tasks whose reflection asked for them.
        anchors: tasks solved before, which must still be solved afterwards.
        iteration: of the loop; random streams derive from it.
        memory: what the policy returned last time, {} at first. JSON, and part of the loop's state.
    """

    current: Playbook
    operations: tuple[Operation, ...]
    affected: tuple[Task, ...] = ()
    anchors: tuple[Task, ...] = ()
    iteration: int = 0
    memory: dict[str, Any] = field(default_factory=dict)


class Bench(Protocol):
    """What a policy may do."""

    def apply(self, playbook: Playbook, operations: Sequence[Operation]) -> Playbook:
        """By the loop's own rules; operations that they refuse change nothing."""
        ...

    def size(self, playbook: Playbook) -> int:
        """Tokens of the playbook as agents see it."""
        ...

    async def scores(self, playbook: Playbook, draws: Sequence[Draw]) -> list[float | None]:
        """One score for each draw, in order; None where somebody other than the agent is to blame.

        Raises `BudgetExhausted`. An equal run is made once and kept (design rule 5).
        """
        ...


class Verdict(Record):
    """On one edit, or on several judged together.

    Args:
        kept: they are in force.
        effect, low, high: mean score with the edit minus without it, and its 95 % interval; None where not measured.
        pairs: runs with the edit that have a run without it.
        regressions: ids of anchor tasks that scored lower with the edit than without it, worst first.
    """

    operations: tuple[Operation, ...]
    kept: bool
    standing: Standing
    reason: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    regressions: tuple[str, ...] = ()


class Decision(Record):
    """The playbook from here on: the current one with the edits that were kept.

    Args:
        runs: agent runs that were asked for.
        switched: it is another one that the policy knows, and has neither the edits nor all that the current one has.
    """

    playbook: Playbook
    verdicts: tuple[Verdict, ...] = ()
    runs: int = 0
    memory: dict[str, Any] = {}
    switched: bool = False


class AcceptancePolicy(Protocol):
    """Keeps or drops edits. Keeps no state of its own: what it must remember goes through `memory`."""

    @property
    def name(self) -> str: ...

    async def decide(self, case: Case, bench: Bench, seed: int) -> Decision:
        """Raises nothing of its own: where the budget ends, the current playbook stays and a verdict says so."""
        ...
