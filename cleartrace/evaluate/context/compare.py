"""Arms against a first one, task by task under common seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from cleartrace.evaluate.context.arm import Arm, Manifest
from cleartrace.evaluate.stats import clustered_interval, sign_flip_p
from cleartrace.evaluate.summary import Estimate

MUST_AGREE = ("environment", "environment_options", "split", "tasks", "agent", "seeds", "cap")
BESIDE_THE_AGENT = ("task_timeout", "user_model")
"""Of `Manifest.agent_settings`: they change how runs end, and are not in the agent's hash."""


class Unfair(ValueError):
    """Two arms that differ in more than their context."""


@dataclass(frozen=True)
class Paired:
    """`other` minus `base` over the (task, seed) runs that both have with a score.

    Args:
        tgc, score: mean differences over tasks, interval by resampled scenarios. `p_tgc`, `p_score`: signs flipped per
            scenario.
        gained, lost: tasks completed more often, and less often.
        left_out: pairs in which a run is missing or has no score; never silently dropped.
        differences: what does not agree, when the comparison was forced.
    """

    base: str
    other: str
    tasks: int
    pairs: int
    left_out: int
    tgc: Estimate
    p_tgc: float
    score: Estimate
    p_score: float
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    differences: tuple[str, ...] = ()


def differences(one: Manifest, other: Manifest) -> tuple[str, ...]:
    """Names of what should agree and does not (A29)."""
    found = [name for name in MUST_AGREE if getattr(one, name) != getattr(other, name)]
    ones, others = one.agent_settings, other.agent_settings
    return (*found, *(name for name in BESIDE_THE_AGENT if ones.get(name) != others.get(name)))


def compare(base: Arm, other: Arm, *, force: bool = False) -> Paired:
    """Raises `Unfair` when the arms differ in more than context, unless forced, or have no pair in common."""
    unlike = differences(base.manifest, other.manifest)
    if unlike and not force:
        raise Unfair(
            f"{base.name} and {other.name} differ in {', '.join(unlike)}, so their difference is not one of context; "
            "run both with the same settings, or use --force to compare all the same"
        )
    asked = {task.id: task.group for task in base.manifest.tasks}
    keys = [(task, seed) for task in asked for seed in base.manifest.seeds]
    ones, others = base.by_key(), other.by_key()
    both = [k for k in keys if all(k in runs and runs[k].outcome.scored for runs in (ones, others))]
    if not both:
        raise Unfair(f"{base.name} and {other.name} have no scored run of the same task and seed in common")
    tasks = list(dict.fromkeys(task for task, _ in both))
    passes, scores = [], []
    for task in tasks:
        mine = [(ones[k].outcome, others[k].outcome) for k in both if k[0] == task]
        passes.append(fmean(b.passed - a.passed for a, b in mine))
        scores.append(fmean((b.score or 0.0) - (a.score or 0.0) for a, b in mine))
    groups = [asked[task] for task in tasks]
    return Paired(
        base=base.name, other=other.name, tasks=len(tasks), pairs=len(both), left_out=len(keys) - len(both),
        tgc=_estimate(passes, groups), p_tgc=sign_flip_p(_sums(passes, groups)),
        score=_estimate(scores, groups), p_score=sign_flip_p(_sums(scores, groups)),
        gained=tuple(t for t, gap in zip(tasks, passes, strict=True) if gap > 0),
        lost=tuple(t for t, gap in zip(tasks, passes, strict=True) if gap < 0),
        differences=unlike,
    )  # fmt: skip


def _estimate(values: Sequence[float], groups: Sequence[str]) -> Estimate:
    return Estimate(fmean(values), *clustered_interval(values, groups, share=False))


def _sums(values: Sequence[float], groups: Sequence[str]) -> list[float]:
    """Tasks of one scenario depend on each other, so their differences change sign together."""
    sums: dict[str, float] = {}
    for value, group in zip(values, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + value
    return list(sums.values())
