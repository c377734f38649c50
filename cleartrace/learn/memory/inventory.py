"""What a playbook holds, counted. It overrides whatever a model says about it."""

from __future__ import annotations

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.learn.memory.document import Assessment, Coverage, Maturity, Trend

BATTLE_TESTED = 5
DEVELOPING = 3
AT_RISK = 2
"""Assessments of a present text from which an entry counts as such; harmful minus helpful for the last."""


def with_inventory(assessment: Assessment, playbook: Playbook) -> Assessment:
    """`assessment` with everything that can be counted taken from `playbook`; the trend is against what stood there."""
    before, now = assessment.coverage_inventory.total, len(playbook)
    trend = Trend.GROWING if now > before else Trend.SHRINKING if now < before else Trend.STABLE
    return assessment.model_copy(
        update={
            "size_trend": trend,
            "coverage_inventory": coverage(playbook, assessment.coverage_inventory.observed_gaps),
            "entry_maturity": maturity(playbook),
        }
    )


def coverage(playbook: Playbook, gaps: tuple[str, ...] = ()) -> Coverage:
    """Entries by section. Sections that are allowed and empty count as under-represented."""
    per_section = dict.fromkeys(playbook.sections, 0)
    for entry in playbook.entries:
        per_section[entry.section] = per_section.get(entry.section, 0) + 1
    per_section = dict(sorted(per_section.items()))
    return Coverage(
        total=len(playbook),
        sections=sum(count > 0 for count in per_section.values()),
        per_section=per_section,
        under_represented=tuple(name for name, count in per_section.items() if count <= 1),
        observed_gaps=gaps,
    )


def maturity(playbook: Playbook) -> Maturity:
    """Ids of entries by the number of verdicts that their present text has."""

    def ids(low: int, high: float = float("inf")) -> tuple[str, ...]:
        return tuple(entry.id for entry in playbook.entries if low <= assessed(entry) < high)

    return Maturity(
        battle_tested=ids(BATTLE_TESTED),
        developing=ids(DEVELOPING, BATTLE_TESTED),
        untested_or_new=ids(0, DEVELOPING),
        at_risk=tuple(entry.id for entry in playbook.entries if entry.harmful - entry.helpful >= AT_RISK),
    )


def assessed(entry: Entry) -> int:
    return entry.helpful + entry.harmful
