"""The numbers at the head of the report. Pure functions of a loaded run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cleartrace.evaluate.stats import wilson_interval
from cleartrace.report import names
from cleartrace.report.load import Run
from cleartrace.tools.result import MODEL_FAILURES, ToolStatus
from cleartrace.trajectory.record import TrajectoryRecord

RETRY_SECONDS = ("retry_generate_s", "retry_tool_s", "score_s")
ALL_SECONDS = ("generate_s", "tool_s", "score_s")
_SECRET_KEY = re.compile(r"(^|_)(api_?key|password|passwd|secret|token|authorization)$", re.IGNORECASE)


@dataclass(frozen=True)
class Rate:
    """A share at one step. `successes` and `n` are None when only the metric, not its rows, was kept."""

    step: int
    value: float
    successes: int | None = None
    n: int | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.successes is None or self.n is None:
            return None
        return wilson_interval(self.successes, self.n)


@dataclass(frozen=True)
class Change:
    """A rate before training (first measured step) and after it (last one; None when measured once)."""

    label: str
    before: Rate
    after: Rate | None


@dataclass(frozen=True)
class Summary:
    """What the header shows. `totals` maps a label to a value and its remark."""

    arm: str | None
    settings: dict[str, str]
    changes: tuple[Change, ...]
    totals: dict[str, tuple[str, str]]
    notes: tuple[str, ...] = field(default=())


def summarise(run: Run) -> Summary:
    """Settings, before-and-after rates and totals of a run."""
    notes: list[str] = []
    kept = [r for r in run.records if not r.masked]
    off = [r for r in kept if r.split == "val" and r.arm == "off"]
    on = [r for r in kept if r.split == "val" and r.arm == "on"]
    changes = [
        _change(run, "Held-out solve rate, rollback off", names.VAL_ACC, off, lambda r: r.acc, notes),
        _change(run, "Held-out solve rate, rollback on", names.VAL_ON_ACC, on, lambda r: r.acc, notes),
        _change(run, "Held-out first-call failure rate", names.VAL_FIRST_CALL_FAILURE, off, first_call_failed, notes),
    ]
    if masked := len(run.records) - len(kept):
        notes.append(
            f"{masked} of {len(run.records)} trajectories were lost to infrastructure failures; no rate counts them."
        )
    if lost := sum(value for metric in names.LOST for _, value in series_of(run, metric)):
        notes.append(
            f"{lost:.0f} rollouts raised an exception and were left out by veRL; train.log has their tracebacks."
        )
    return Summary(
        arm=_arm_of(run.records),
        settings={label: value for label, keys in names.SETTINGS.items() if (value := lookup(run.config, keys))},
        changes=tuple(change for change in changes if change),
        totals=_totals(run),
        notes=tuple(notes),
    )


def first_call_failed(record: TrajectoryRecord) -> bool | None:
    """Whether the model's first call of the trajectory failed by its own fault; None without a call.

    A first call that the sandbox lost says nothing about the model: None as well.
    """
    if not record.tool_calls:
        return None
    first = min(record.tool_calls, key=lambda call: (call.position, call.attempt))
    return None if first.status == ToolStatus.INFRA_ERROR.value else first.status in MODEL_FAILURES


def lookup(config: dict[str, Any], keys: Iterable[str]) -> str | None:
    """The first dotted key that is set, as text."""
    for key in keys:
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict):
            return str(value)
    return None


def hide_secrets(value: Any) -> Any:
    """A copy of a config in which passwords and keys read `***`: a report is made to be passed on."""
    if isinstance(value, dict):
        return {
            key: "***" if isinstance(item, str) and item and _SECRET_KEY.search(str(key)) else hide_secrets(item)
            for key, item in value.items()
        }
    return [hide_secrets(item) for item in value] if isinstance(value, list) else value


def series_of(run: Run, metric: str) -> list[tuple[int, float]]:
    """(step, value) of one metric where it was logged."""
    return [(row.step, row.data[metric]) for row in run.metrics if metric in row.data]


def _change(
    run: Run,
    label: str,
    metric: str,
    records: Sequence[TrajectoryRecord],
    outcome: Callable[[TrajectoryRecord], bool | None],
    notes: list[str],
) -> Change | None:
    logged = dict(series_of(run, metric))
    counted = _rates(records, outcome)
    steps = sorted(set(logged) | set(counted))
    if not steps:
        return None
    ends = [counted.get(step) or Rate(step, logged[step]) for step in (steps[0], steps[-1])]
    for rate in ends:
        if rate.n and rate.step in logged and abs(logged[rate.step] - rate.value) > 0.005:
            notes.append(
                f"{label}, step {rate.step}: metrics.jsonl says {logged[rate.step]:.1%}, "
                f"the trajectory rows {rate.value:.1%} (shown)."
            )
    return Change(label, ends[0], ends[1] if len(steps) > 1 else None)


def _rates(records: Sequence[TrajectoryRecord], outcome: Callable[[TrajectoryRecord], bool | None]) -> dict[int, Rate]:
    by_step: dict[int, list[bool]] = {}
    for record in records:
        if (value := outcome(record)) is not None:
            by_step.setdefault(record.step, []).append(value)
    return {step: Rate(step, sum(hits) / len(hits), sum(hits), len(hits)) for step, hits in by_step.items()}


def _totals(run: Run) -> dict[str, tuple[str, str]]:
    totals: dict[str, tuple[str, str]] = {}
    if repairs := _repairs(run):
        triggered, recovered = repairs
        share = f"{recovered / triggered:.0%} of {triggered:,} rolled back" if triggered else "no call was rolled back"
        totals["Repairs"] = (f"{recovered:,}", share)
    if tokens := _generated_tokens(run):  # none on a run that only validates
        # `tokens` are those of training, so the share is too: held-out rollouts roll back in one arm only.
        train = [r for r in run.records if r.split == "train"]
        discarded, shown = sum(r.discarded_tokens for r in train), sum(r.generated_tokens for r in train)
        remark = f"{discarded / shown:.1%} discarded by rollbacks" if shown else "all sampled"
        totals["Generated tokens"] = (f"{tokens:,}", remark)
    if retries := _retries(run.records):
        totals["Retries"] = retries
    if times := series_of(run, names.STEP_TIME):
        totals["Wall time"] = (format_seconds(sum(t for _, t in times)), f"sum over {len(times):,} steps")
    if run.records:
        train = sum(r.split == "train" for r in run.records)
        totals["Trajectories"] = (f"{len(run.records):,}", f"{train:,} train, {len(run.records) - train:,} held-out")
    return totals


def _retries(records: Sequence[TrajectoryRecord]) -> tuple[str, str] | None:
    """Tokens that regenerations sampled in training, kept or not, and their share; None where none were recorded."""
    counted = [r.counters for r in records if r.split == "train" and "retry_tokens" in r.counters]
    tokens = sum(c["retry_tokens"] for c in counted)
    if not tokens:
        return None
    seconds = [sum(c[name] for c in counted for name in names_) for names_ in (RETRY_SECONDS, ALL_SECONDS)]
    time = f", {seconds[0] / seconds[1]:.1%} of the rollouts' time" if seconds[1] else ""
    calls = sum(c["retry_calls"] for c in counted)
    return f"{calls:,.0f} calls", f"{tokens:,.0f} tokens sampled by regenerations{time}"


def _repairs(run: Run) -> tuple[int, int] | None:
    triggered = series_of(run, names.TRIGGERED)
    if triggered:
        return round(sum(v for _, v in triggered)), round(sum(v for _, v in series_of(run, names.RECOVERED)))
    outcomes = [repair.outcome for r in run.records if r.split == "train" for repair in r.repairs]
    return (len(outcomes), outcomes.count("recovered")) if run.records else None


def _generated_tokens(run: Run) -> int | None:
    if cumulative := series_of(run, names.GENERATED_CUM):
        return round(cumulative[-1][1])
    if per_step := series_of(run, names.GENERATED):
        return round(sum(v for _, v in per_step))
    return sum(r.generated_tokens for r in run.records) if run.records else None


def _arm_of(records: Sequence[TrajectoryRecord]) -> str | None:
    arms = sorted({f"rollback {r.arm}" for r in records if r.split == "train"})
    return ", ".join(arms) or None


def format_seconds(seconds: float) -> str:
    """`42.0 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
