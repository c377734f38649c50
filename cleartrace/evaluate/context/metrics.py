"""From runs to numbers: completion of tasks and scenarios, pass@k, score, cost, latency. Pure functions.

A run that is missing or that failed through no fault of the model counts as not passed in every completion figure, so
that an outage cannot raise one; `scored_tgc` leaves such runs out. Both stand side by side (R2).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median, stdev
from typing import Any

from cleartrace.episodes.types import Episode, Usage
from cleartrace.evaluate.at_k import pass_at_k, powers_of_two
from cleartrace.evaluate.context.arm import Arm
from cleartrace.evaluate.stats import clustered_interval
from cleartrace.evaluate.summary import Estimate


@dataclass(frozen=True)
class Spread:
    """A figure over passes: its mean and sample standard deviation (R30), None for a single pass."""

    mean: float
    std: float | None
    passes: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, tuple(values))


@dataclass(frozen=True)
class Cost:
    """Per run, where not said otherwise. `dollars`: of agent and context together, None where a price is not known.
    `seconds`: wall time, median."""

    runs: int
    agent_tokens: float
    context_tokens: float
    dollars: float | None
    turns: float
    seconds: float
    seconds_per_turn: float
    context_seconds: float


@dataclass(frozen=True)
class ArmSummary:
    """One arm. Intervals: 95 %, scenarios resampled.

    Args:
        tgc: share of tasks completed; `sgc`: share of scenarios of which every task was completed in the same pass.
        failures: runs by what went wrong; those without a score are in `unscored` too.
        missing: runs that were asked for and do not exist.
    """

    name: str
    tasks: int
    scenarios: int
    runs: int
    missing: int
    unscored: int
    failures: Mapping[str, int]
    abstained: int
    tgc: Spread
    tgc_interval: tuple[float, float]
    scored_tgc: float | None
    sgc: Spread
    sgc_interval: tuple[float, float]
    score: Estimate
    pass_at: Mapping[int, Estimate]
    sgc_pass_at: Mapping[int, float]
    cost: Cost

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarise(arm: Arm) -> ArmSummary:
    """All figures of one arm. Raises ValueError when nothing was asked for."""
    tasks, seeds = arm.manifest.tasks, arm.manifest.seeds
    if not tasks or not seeds:
        raise ValueError(f"{arm.name}: no tasks or no passes were asked for")
    runs = arm.by_key()
    passed = {(task.id, seed): _passed(runs.get((task.id, seed))) for task in tasks for seed in seeds}
    scenarios = _scenarios(arm)
    groups = [task.group for task in tasks]
    shares = [fmean(passed[task.id, seed] for seed in seeds) for task in tasks]
    whole = {name: [all(passed[id, seed] for id in ids) for seed in seeds] for name, ids in scenarios.items()}
    scores = [fmean(_score(runs.get((task.id, seed))) for seed in seeds) for task in tasks]
    scored = [one.outcome.passed for one in arm.episodes if one.outcome.scored]
    ks = powers_of_two(len(seeds))
    return ArmSummary(
        name=arm.name, tasks=len(tasks), scenarios=len(scenarios), runs=len(runs),
        missing=len(passed) - len(runs), unscored=sum(not one.outcome.scored for one in arm.episodes),
        failures=Counter(one.outcome.failure.kind.value for one in arm.episodes if one.outcome.failure is not None),
        abstained=sum(one.trajectory.context.abstained for one in arm.episodes),
        tgc=Spread.over([fmean(passed[task.id, seed] for task in tasks) for seed in seeds]),
        tgc_interval=clustered_interval(shares, groups), scored_tgc=fmean(scored) if scored else None,
        sgc=Spread.over([fmean(row[i] for row in whole.values()) for i in range(len(seeds))]),
        sgc_interval=clustered_interval([fmean(row) for row in whole.values()], list(whole)),
        score=Estimate(fmean(scores), *clustered_interval(scores, groups)),
        pass_at={k: _pass_at(shares, groups, len(seeds), k) for k in ks},
        sgc_pass_at={k: fmean(pass_at_k(len(seeds), sum(row), k) for row in whole.values()) for k in ks},
        cost=_cost(arm.episodes),
    )  # fmt: skip


def _scenarios(arm: Arm) -> dict[str, list[str]]:
    """Over what was asked for: a scenario with a missing variant stays, and is not completed (R2)."""
    found: dict[str, list[str]] = {}
    for task in arm.manifest.tasks:
        found.setdefault(task.group, []).append(task.id)
    return found


def _passed(run: Episode | None) -> bool:
    return run is not None and run.outcome.passed


def _score(run: Episode | None) -> float:
    return 0.0 if run is None or run.outcome.score is None else run.outcome.score


def _pass_at(shares: Sequence[float], groups: Sequence[str], n: int, k: int) -> Estimate:
    values = [pass_at_k(n, round(share * n), k) for share in shares]
    return Estimate(fmean(values), *clustered_interval(values, groups))


def _cost(episodes: Sequence[Episode]) -> Cost:
    runs = [one.trajectory for one in episodes]
    if not runs:
        return Cost(0, 0.0, 0.0, None, 0.0, math.nan, math.nan, math.nan)
    prices = [(run.usage + run.context.usage).cost for run in runs]
    known = [price for price in prices if price is not None]
    turns = [run.seconds / run.turns for run in runs if run.turns]
    return Cost(
        runs=len(runs),
        agent_tokens=fmean(_tokens(run.usage) for run in runs),
        context_tokens=fmean(_tokens(run.context.usage) for run in runs),
        dollars=fmean(known) if len(known) == len(runs) else None,
        turns=fmean(run.turns for run in runs),
        seconds=median(run.seconds for run in runs),
        seconds_per_turn=median(turns) if turns else math.nan,
        context_seconds=median(run.context.usage.seconds for run in runs),
    )


def _tokens(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens
