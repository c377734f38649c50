"""The next state of the memory: facts first, then what a model says, where it may say it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.lenient import CLOSED, Lenient
from cleartrace.learn.memory.document import (
    Evidence,
    Health,
    LedgerRow,
    Lines,
    ModelObservations,
    OptimizerState,
    ReasoningPatterns,
    Risk,
    Sentence,
    Status,
    StrategyMemory,
    Velocity,
    trimmed,
)
from cleartrace.learn.memory.inventory import with_inventory
from cleartrace.learn.memory.record import IterationRecord, measured_status


class AssessmentOpinion(BaseModel):
    model_config = ConfigDict(json_schema_extra=CLOSED)

    health: Health = Health.HEALTHY
    observed_gaps: Lines = ()
    coherence_issues: Lines = ()


class RowOpinion(BaseModel):
    """On an iteration that is in the ledger already."""

    model_config = ConfigDict(json_schema_extra=CLOSED)

    iteration: int
    status: Status = Status.UNTESTED
    evidence: Evidence = Evidence.UNCLEAR
    reversal_risk: Risk = Risk.MEDIUM
    observed_effect: Sentence = ""
    notes: Sentence = ""


class StateReply(Lenient):
    """What a model is asked to write. Whatever can be counted or measured is not asked for."""

    playbook_assessment: AssessmentOpinion
    change_ledger: list[RowOpinion] = Field(default=[])
    open_hypotheses: Lines = ()
    preserve_until_more_evidence: Lines = ()
    interference_patterns: Lines = ()
    strategy_memory: StrategyMemory = StrategyMemory()
    model_observations: ModelObservations = ModelObservations()
    agent_reasoning_patterns: ReasoningPatterns = ReasoningPatterns()
    optimization_velocity: Velocity = Velocity()


def from_facts(old: OptimizerState, record: IterationRecord, playbook: Playbook, max_history: int) -> OptimizerState:
    """Old state, inventory of `playbook`, and a row for the iteration. Needs no model."""
    gaps = (*old.playbook_assessment.coverage_inventory.observed_gaps, *record.gaps)
    inventory = old.playbook_assessment.coverage_inventory.model_copy(
        update={"observed_gaps": tuple(dict.fromkeys(gaps))}
    )
    assessment = old.playbook_assessment.model_copy(update={"coverage_inventory": inventory})
    state = old.model_copy(
        update={
            "iteration": record.iteration,
            "playbook_assessment": with_inventory(assessment, playbook),
            "change_ledger": (*old.change_ledger, record.row()),
        }
    )
    return trimmed(state, max_history)


def with_opinion(state: OptimizerState, reply: StateReply, max_history: int) -> OptimizerState:
    """`state` with what a model says beside the facts. Rows that do not exist are ignored."""
    said = {one.iteration: one for one in reply.change_ledger}
    ledger = tuple(judged(row, said[row.iteration]) if row.iteration in said else row for row in state.change_ledger)
    opinion, facts = reply.playbook_assessment, state.playbook_assessment
    inventory = facts.coverage_inventory.model_copy(update={"observed_gaps": opinion.observed_gaps})
    assessment = facts.model_copy(
        update={
            "health": opinion.health,
            "coverage_inventory": inventory,
            "coherence_issues": opinion.coherence_issues,
        }
    )
    names = set(StateReply.model_fields) - {"playbook_assessment", "change_ledger"}
    written = {name: _declared(getattr(reply, name)) for name in names}
    changed = {
        **written,
        "playbook_assessment": assessment,
        "change_ledger": ledger,
    }
    return trimmed(state.model_copy(update=changed), max_history)


def judged(row: LedgerRow, opinion: RowOpinion) -> LedgerRow:
    """A row with an opinion. Where an effect was measured, status and effect stay as measured, except that an edit may
    have been superseded since; where none was, `validated` is no more than `watch` (R29)."""
    changed: dict[str, object] = {
        "evidence": opinion.evidence,
        "reversal_risk": opinion.reversal_risk,
        "notes": opinion.notes,
    }
    measured = measured_status(row.measured)
    if opinion.status is Status.SUPERSEDED:
        changed["status"] = Status.SUPERSEDED
    elif measured is not None:
        changed["status"] = measured
    else:
        changed["status"] = Status.WATCH if opinion.status is Status.VALIDATED else opinion.status
    if measured is None:
        changed["observed_effect"] = opinion.observed_effect
    return row.model_copy(update=changed)


def _declared(value: object) -> object:
    """Without fields that a model invented."""
    if not isinstance(value, BaseModel):
        return value
    return type(value)(**{name: getattr(value, name) for name in type(value).model_fields})
