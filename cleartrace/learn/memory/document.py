"""The memory as one document. Texts are cut and lists trimmed, so that it never grows."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from cleartrace.episodes.types import Record
from cleartrace.learn.lenient import CLOSED
from cleartrace.learn.text import shorten

LIST_ROWS = 10
"""Rows a list keeps unless told otherwise."""
RECENT = 5
"""Edits that a reader sees in full."""
OPERATIONS = 6
"""Operations that a row of the ledger names."""


def _line(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: shorten(value, limit) if isinstance(value, str) else value)


Sentence = Annotated[str, _line(240)]
Passage = Annotated[str, _line(400)]
Lines = tuple[Sentence, ...]


class Health(str, Enum):
    HEALTHY = "healthy"
    FRAGILE = "fragile"
    OVERLOADED = "overloaded"
    INTERFERING = "interfering"


class Trend(str, Enum):
    GROWING = "growing"
    STABLE = "stable"
    SHRINKING = "shrinking"


class Status(str, Enum):
    """What is known of an edit. `validated` comes from a measurement and from nothing else (R29)."""

    UNTESTED = "untested"
    WATCH = "watch"
    MIXED = "mixed"
    VALIDATED = "validated"
    HARMFUL = "harmful"
    SUPERSEDED = "superseded"


class Evidence(str, Enum):
    SINGLE_TRACE = "single_trace"
    MULTI_TRACE = "multi_trace"
    REPEATED = "repeated"
    MIXED = "mixed"
    UNCLEAR = "unclear"


class Risk(str, Enum):
    """Of taking an edit back."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Stage(str, Enum):
    EXPLORATION = "exploration"
    DEVELOPMENT = "development"
    REFINEMENT = "refinement"
    CONVERGED = "converged"


class Coverage(Record):
    """Counted, except `observed_gaps`. `under_represented`: sections with at most one entry."""

    total: int = 0
    sections: int = 0
    per_section: dict[str, int] = Field(default_factory=dict)
    under_represented: tuple[str, ...] = ()
    observed_gaps: Lines = ()


class Maturity(Record):
    """Ids of entries by how often their present text was assessed; `at_risk` stands beside that."""

    battle_tested: tuple[str, ...] = ()
    developing: tuple[str, ...] = ()
    untested_or_new: tuple[str, ...] = ()
    at_risk: tuple[str, ...] = ()


class Assessment(Record):
    health: Health = Health.HEALTHY
    size_trend: Trend = Trend.STABLE
    coverage_inventory: Coverage = Coverage()
    entry_maturity: Maturity = Maturity()
    coherence_issues: Lines = ()


class Measured(Record):
    """A measured effect of edits: mean score with them minus without, and its 95 % interval. `pairs`: of runs."""

    operations: tuple[Sentence, ...] = ()
    kept: bool
    effect: float
    low: float
    high: float
    pairs: int = 0


class LedgerRow(Record):
    """One iteration's edits.

    Args:
        source_tasks: tasks that were reflected on.
        train_pass, train_tgc: mean score and share of full passes of the iteration's batch, before these edits.
        observed_effect: what came of it, in words; figures where it was measured.
    """

    iteration: int
    summary: Sentence = ""
    source_tasks: tuple[str, ...] = ()
    reflection_summary: Passage = ""
    operations: tuple[Sentence, ...] = ()
    train_pass: float | None = None
    train_tgc: float | None = None
    measured: tuple[Measured, ...] = ()
    observed_effect: Sentence = ""
    status: Status = Status.UNTESTED
    evidence: Evidence = Evidence.UNCLEAR
    reversal_risk: Risk = Risk.MEDIUM
    notes: Sentence = ""


class Notes(Record):
    """What a model writes and nothing checks."""

    model_config = ConfigDict(json_schema_extra=CLOSED)


class StrategyMemory(Notes):
    questions: Lines = ()
    notes: Lines = ()


class ModelObservations(Notes):
    """About the agent's model."""

    capability_gaps: Lines = ()
    strategies_that_work: Lines = ()
    entries_it_struggles_with: Lines = ()
    interference: Lines = ()


class ReasoningPatterns(Notes):
    reliable_behaviours: Lines = ()
    common_mistakes: Lines = ()
    entry_styles_that_work: Lines = ()
    scaffolding_effectiveness: Lines = ()


class Velocity(Notes):
    stage: Stage = Stage.EXPLORATION
    recurring_failures: Lines = ()
    single_occurrence_failures: Lines = ()


class OptimizerState(Record):
    """All that is remembered. `iteration`: the last one that is in it, -1 for none.

    `change_ledger` is ascending by iteration, one row each; other lists have the newest last.
    """

    schema_version: int = 1
    iteration: int = -1
    playbook_assessment: Assessment = Assessment()
    change_ledger: tuple[LedgerRow, ...] = ()
    open_hypotheses: Lines = ()
    preserve_until_more_evidence: Lines = ()
    interference_patterns: Lines = ()
    strategy_memory: StrategyMemory = StrategyMemory()
    model_observations: ModelObservations = ModelObservations()
    agent_reasoning_patterns: ReasoningPatterns = ReasoningPatterns()
    optimization_velocity: Velocity = Velocity()

    def recent(self, rows: int = RECENT) -> tuple[LedgerRow, ...]:
        """The last rows of the ledger, oldest first (R9)."""
        return self.change_ledger[-rows:] if rows > 0 else ()


_COUNTED = {"entry_maturity", "per_section", "under_represented", "change_ledger", "measured"}


def trimmed(state: OptimizerState, max_history: int = LIST_ROWS) -> OptimizerState:
    """The ledger in order, the newest row of an iteration only, and every list cut to its newest `max_history` (R9).

    The inventory is counted anew each time and stays whole.
    """
    rows = {row.iteration: row for row in state.change_ledger}
    ledger = tuple(
        row.model_copy(update={"operations": row.operations[:OPERATIONS]})
        for row in sorted(rows.values(), key=lambda row: row.iteration)
    )
    short = _shortened(state, max_history)
    return short.model_copy(update={"change_ledger": ledger[-max_history:]})


def _shortened(record: Any, rows: int) -> Any:
    changed = {}
    for name in type(record).model_fields:
        value = getattr(record, name)
        if name in _COUNTED:
            continue
        if isinstance(value, tuple):
            changed[name] = value[-rows:]
        elif isinstance(value, Record):
            changed[name] = _shortened(value, rows)
    return record.model_copy(update=changed)
