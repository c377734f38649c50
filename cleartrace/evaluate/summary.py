"""From outcomes to numbers: what was solved, how surely, at which cost. Pure functions.

Every number that says how good a policy is counts a rollout that was lost, spoiled or could not be graded as not
solved; `graded_acc` leaves these out. Both are shown, so that neither hides an outage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from cleartrace.evaluate.at_k import majority_at_k, pass_at_k, powers_of_two
from cleartrace.evaluate.outcome import Arm, RolloutOutcome, Status
from cleartrace.evaluate.stats import cluster_interval

ALL_SOURCES = "all"
ARMS: tuple[Arm, ...] = ("off", "on")


@dataclass(frozen=True)
class Estimate:
    """A mean over questions with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float], *, share: bool = True) -> Estimate:
        low, high = cluster_interval(values, share=share)
        return cls(fmean(values), low, high)


@dataclass(frozen=True)
class Cost:
    """What the rollouts of one arm consumed, in total. Discarded attempts are in every number (D20)."""

    generated_tokens: int
    discarded_tokens: int
    calls: int
    failed_calls: int
    kept_failures: int
    rollbacks: int
    recovered: int
    turns: int


@dataclass(frozen=True)
class ArmSummary:
    """One source under one arm.

    `n` is the smallest number of rollouts that a question has: the k of pass@k and maj@k go up to it. `missing`
    rollouts were asked for and have not been made yet; they count nowhere else.
    """

    source: str
    arm: Arm
    questions: int
    rollouts: int
    n: int
    missing: int
    lost: int
    infra: int
    ungraded: int
    retried: int
    """Rollouts that needed more than one start."""
    avg: Estimate
    """avg@n: mean over questions of the share of solved rollouts."""
    graded_acc: float | None
    """Share of solved among the graded rollouts alone."""
    pass_at: Mapping[int, Estimate]
    maj_at: Mapping[int, Estimate]
    cost: Cost

    def per_rollout(self, total: float) -> float:
        return total / self.rollouts


@dataclass(frozen=True)
class Difference:
    """Arm `on` minus arm `off`, paired by question."""

    source: str
    questions: int
    avg: Estimate
    tokens_ratio: float | None
    """Generated tokens per rollout of `on` over those of `off`."""


@dataclass(frozen=True)
class Summary:
    """All that an evaluation says."""

    arms: tuple[ArmSummary, ...]
    differences: tuple[Difference, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Groups = dict[str, list[RolloutOutcome]]


def summarise(outcomes: Iterable[RolloutOutcome], asked: Mapping[str, int], n: int) -> Summary:
    """One block per source and arm, and over all sources where there are several.

    Args:
        outcomes: at most one per key.
        asked: questions per source.
        n: rollouts asked for per question and arm.
    """
    rows = list(outcomes)
    arms: list[Arm] = [arm for arm in ARMS if any(row.arm == arm for row in rows)]
    sources = [*asked, *([ALL_SOURCES] if len(asked) > 1 else [])]
    found, differences = [], []
    for source in sources:
        questions = sum(asked.values()) if source == ALL_SOURCES else asked[source]
        by_arm = {arm: _group(rows, source, arm) for arm in arms}
        found += [_arm_summary(source, arm, by_arm[arm], questions, n) for arm in arms if by_arm[arm]]
        if all(by_arm.get(arm) for arm in ("off", "on")):
            differences += _difference(source, by_arm["off"], by_arm["on"])
    return Summary(tuple(found), tuple(differences))


def _group(rows: Sequence[RolloutOutcome], source: str, arm: Arm) -> Groups:
    groups: Groups = {}
    for row in rows:
        if row.arm == arm and source in (ALL_SOURCES, row.data_source):
            groups.setdefault(row.sample_id, []).append(row)
    return groups


def _arm_summary(source: str, arm: Arm, groups: Groups, questions: int, n: int) -> ArmSummary:
    rows = [row for group in groups.values() for row in group]
    status = Counter(row.status for row in rows)
    graded = [row.acc for row in rows if row.graded]
    smallest = min(len(group) for group in groups.values())
    ks = powers_of_two(smallest)
    votes = [[(row.pred if row.graded else "", solved(row)) for row in group] for group in groups.values()]
    return ArmSummary(
        source=source,
        arm=arm,
        questions=len(groups),
        rollouts=len(rows),
        n=smallest,
        missing=questions * n - len(rows),
        lost=status[Status.LOST],
        infra=status[Status.INFRA],
        ungraded=status[Status.UNGRADED],
        retried=sum(row.tries > 1 for row in rows),
        avg=Estimate.over([_share(group) for group in groups.values()]),
        graded_acc=fmean(graded) if graded else None,
        pass_at={k: Estimate.over([pass_at_k(len(v), sum(ok for _, ok in v), k) for v in votes]) for k in ks},
        maj_at={k: Estimate.over([majority_at_k(v, k) for v in votes]) for k in ks},
        cost=_cost(rows),
    )


def solved(row: RolloutOutcome) -> bool:
    """True for a graded rollout with a right answer; an outage never counts as one."""
    return row.graded and row.acc


def _share(group: Sequence[RolloutOutcome]) -> float:
    return fmean(solved(row) for row in group)


def _cost(rows: Sequence[RolloutOutcome]) -> Cost:
    return Cost(**{name: sum(getattr(row, name) for row in rows) for name in Cost.__dataclass_fields__})


def _difference(source: str, off: Groups, on: Groups) -> list[Difference]:
    both = [sample for sample in off if sample in on]
    if not both:
        return []
    gaps = [_share(on[sample]) - _share(off[sample]) for sample in both]
    tokens = {arm: _tokens_per_rollout(groups, both) for arm, groups in (("off", off), ("on", on))}
    ratio = tokens["on"] / tokens["off"] if tokens["off"] else None
    return [Difference(source, len(both), Estimate.over(gaps, share=False), ratio)]


def _tokens_per_rollout(groups: Groups, samples: Sequence[str]) -> float:
    return fmean(row.generated_tokens for sample in samples for row in groups[sample])
