"""The memory as the mutator reads it. What is empty is not mentioned."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.learn.memory.document import RECENT, Assessment, LedgerRow, OptimizerState
from cleartrace.learn.text import percent


def memory_text(state: OptimizerState, recent: int = RECENT) -> str:
    """Markdown; '' for a state that has seen no iteration."""
    if state.iteration < 0:
        return ""
    blocks = [_assessment(state.playbook_assessment), _ledger(state.recent(recent)), *_notes(state)]
    return "\n\n".join(block for block in blocks if block)


def _assessment(one: Assessment) -> str:
    held, grown = one.coverage_inventory, one.entry_maturity
    lines = [f"## The playbook\n\nHealth: {one.health.value}. Size: {held.total} entries, {one.size_trend.value}."]
    lists = {
        "Entries per section": [f"{name} {count}" for name, count in held.per_section.items()],
        "Thin sections": held.under_represented,
        "Often assessed": grown.battle_tested,
        "Assessed a few times": grown.developing,
        "Hardly or never assessed": grown.untested_or_new,
        "At risk": grown.at_risk,
    }
    lines += [f"{name}: {', '.join(values)}." for name, values in lists.items() if values]
    lines += [f"Gap seen: {gap}" for gap in held.observed_gaps]
    lines += [f"Does not fit together: {issue}" for issue in one.coherence_issues]
    return "\n".join(lines)


def _ledger(rows: Sequence[LedgerRow]) -> str:
    if not rows:
        return ""
    return "\n".join(["## Recent edits, oldest first", "", *(ledger_line(row) for row in rows)])


def ledger_line(row: LedgerRow) -> str:
    """A row on one line, with its figures and where they come from."""
    scores = f" score {percent(row.train_pass)}" if row.train_pass is not None else ""
    scores += f", full passes {percent(row.train_tgc)}" if row.train_tgc is not None else ""
    parts = [f"- Iteration {row.iteration} ({row.status.value}{',' + scores if scores else ''}): {row.summary}"]
    if row.operations and row.summary not in row.operations:
        parts.append(f"Edits: {'; '.join(row.operations)}")
    if row.observed_effect:
        parts.append(f"Effect ({'measured' if row.measured else 'an opinion'}): {row.observed_effect}")
    if row.notes:
        parts.append(f"Note: {row.notes}")
    parts.append(f"Evidence: {row.evidence.value}; risk of taking it back: {row.reversal_risk.value}.")
    return " | ".join(parts)


def _notes(state: OptimizerState) -> list[str]:
    observed, patterns, speed = (
        state.model_observations,
        state.agent_reasoning_patterns,
        state.optimization_velocity,
    )
    lists = {
        "Open hypotheses": state.open_hypotheses,
        "Keep until more is known": state.preserve_until_more_evidence,
        "Interference": (*state.interference_patterns, *observed.interference),
        "Questions": state.strategy_memory.questions,
        "Notes": state.strategy_memory.notes,
        "What the agent cannot do": observed.capability_gaps,
        "What works with it": observed.strategies_that_work,
        "Entries it struggles with": observed.entries_it_struggles_with,
        "What it does reliably": patterns.reliable_behaviours,
        "Mistakes it repeats": patterns.common_mistakes,
        "Styles of entries that work": patterns.entry_styles_that_work,
        "Scaffolding": patterns.scaffolding_effectiveness,
        "Failures that recur": speed.recurring_failures,
        "Failures seen once": speed.single_occurrence_failures,
    }
    blocks = [
        "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) for title, lines in lists.items() if lines
    ]
    return [*blocks, f"Stage: {speed.stage.value}"] if blocks else []
