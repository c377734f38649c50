"""What reflection gives and mutation takes: values that every learner shares."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from cleartrace.context.playbook.ops import Operation, Refusal
from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Episode, Record, Task
from cleartrace.learn.shell import ShellCall


class Tag(str, Enum):
    """What an entry did in a run."""

    HELPFUL = "helpful"
    HARMFUL = "harmful"
    NEUTRAL = "neutral"


class FailureType(str, Enum):
    """Why a run failed; only an actionable gap calls for an edit."""

    ACTIONABLE_GAP = "actionable_gap"
    EXECUTION_VARIANCE = "execution_variance"
    INTRACTABLE = "intractable"


class RootCause(str, Enum):
    KNOWLEDGE_GAP = "knowledge_gap"
    CAPABILITY_GAP = "capability_gap"
    COMPLEXITY_OVERLOAD = "complexity_overload"
    INTERFERENCE = "interference"


class GapKind(str, Enum):
    """What a missing entry should be."""

    PROCEDURE = "procedure"
    CHECKLIST = "checklist"
    ARTIFACT = "artifact"
    VERIFICATION_GATE = "verification_gate"


class EntryVerdict(Record):
    entry_id: str
    tag: Tag
    why: str = ""


class CoverageGap(Record):
    situation: str
    trigger: str = ""
    kind: GapKind = GapKind.PROCEDURE
    suggestion: str = ""


class Signal(Record):
    """One task as reflected on: its clean runs, and the probe run that belongs to them.

    Args:
        episodes: at least one; ascending by score.
        replayed: drawn from the failure buffer.
    """

    task: Task
    episodes: tuple[Episode, ...]
    probe: Episode | None = None
    replayed: bool = False

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(one.outcome.score for one in self.episodes if one.outcome.score is not None)

    @property
    def contrastive(self) -> bool:
        """At least one full pass and one that is not."""
        passed = {one.outcome.passed for one in self.episodes if one.outcome.scored}
        return len(passed) == 2


class Reflection(Record):
    """Findings about one task, or about several when made in one call.

    `failure_type`, `root_cause`, `question`, `gaps` are auxiliary fields: empty when they were not asked for.

    Args:
        question: what in the run affirms the root cause.
        dropped: verdicts and fields of the reply that cannot be used (unknown tag, unknown entry).
        error: why there are no findings, or why the reply could not be read and `analysis` is all of it.
        shell: what was read, where runs were read with a shell; of a call about several tasks, at the first of them.
    """

    task_ids: tuple[str, ...]
    episodes: tuple[str, ...]
    analysis: str
    verdicts: tuple[EntryVerdict, ...] = ()
    failure_type: FailureType | None = None
    root_cause: RootCause | None = None
    question: str = ""
    gaps: tuple[CoverageGap, ...] = ()
    prompt_hash: str = ""
    dropped: tuple[Refusal, ...] = ()
    error: str = ""
    shell: tuple[ShellCall, ...] = ()


class Proposal(Record):
    """Edits that are wanted. Every proposal of the model is in `operations` or `refused` (S4).

    Args:
        more_runs: tasks to run more often before anything is edited: what was found about them is variance alone.
        error: why there is no edit where the model gave none to read: a content filter, an unreadable reply.
    """

    operations: tuple[Operation, ...] = ()
    refused: tuple[Refusal, ...] = ()
    summary: str = ""
    raw: str = ""
    prompt_hash: str = ""
    more_runs: tuple[str, ...] = ()
    error: str = ""


class Reflector(Protocol):
    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        """Raises `LLMError`; a reply that cannot be read is a reflection without verdicts."""
        ...


class Mutator(Protocol):
    async def propose(
        self, playbook: Playbook, signals: Sequence[Signal], reflections: Sequence[Reflection], memory: str, seed: int
    ) -> Proposal:
        """`memory`: what the optimiser state says, '' without one. Raises `LLMError`; a refusal is no edits."""
        ...
