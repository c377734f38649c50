"""Which groups are reflected on. One order for every mode, so that all primitives compose (R20, R21, S1, A12)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from cleartrace.episodes.types import PASS, Record
from cleartrace.learn.protocol import Signal
from cleartrace.learn.rcl.groups import Group
from cleartrace.learn.rcl.sampler import SamplerState
from cleartrace.learn.rcl.streams import stream


class SelectionRules(Record):
    """What counts as a signal, and how many are taken.

    Args:
        mini_batch: signals at most.
        threshold: a group is a signal when its worst clean run scores less.
        reflect_all: every scored group is a signal, and rank alone decides.
        replay_ratio: share of the mini-batch kept for replayed tasks. Fractions add up over iterations: with one signal
            an iteration and a ratio of 0.5, every second one is a replayed task where there is one.
    """

    mini_batch: int = Field(default=1, ge=1)
    threshold: float = Field(default=1.0, gt=0.0, le=1.0)
    reflect_all: bool = False
    replay_ratio: float = Field(default=0.0, ge=0.0, le=1.0)


@dataclass(frozen=True)
class Selection:
    """Signals in order of rank, and why the other tasks are none."""

    signals: tuple[Signal, ...]
    passed_over: dict[str, str]


def select(groups: Sequence[Group], state: SamplerState, rules: SelectionRules, seed: int, iteration: int) -> Selection:
    """Contrastive groups first, the widest spread first; then the rest: replayed last, then the least often reflected
    on, the least often seen, the lowest score, at random. A share for replayed tasks is reserved before that."""
    reasons = {one.task.id: _reason(one, rules) for one in groups}
    random = stream(seed, "select", iteration)
    ties = {one.task.id: random.random() for one in groups}
    pool = [one for one in groups if not reasons[one.task.id]]
    ranked = sorted(pool, key=lambda one: (*_rank(one, state), ties[one.task.id]))
    reserved = [one for one in ranked if one.replayed][: _reserved(rules, iteration)]
    kept = {one.task.id for one in reserved}
    for one in ranked:
        if len(kept) < rules.mini_batch:
            kept.add(one.task.id)
    over = {one.task.id: "the mini-batch is full" for one in ranked if one.task.id not in kept}
    return Selection(
        signals=tuple(_signal(one) for one in ranked if one.task.id in kept),
        passed_over={name: reason for name, reason in reasons.items() if reason} | over,
    )


def _reserved(rules: SelectionRules, iteration: int) -> int:
    """Of this iteration, counted from 1."""
    share = rules.mini_batch * rules.replay_ratio
    # The small term keeps 0.1 * 30 at 3: floors of binary fractions lose one now and then.
    return math.floor(share * iteration + 1e-9) - math.floor(share * (iteration - 1) + 1e-9)


def _reason(group: Group, rules: SelectionRules) -> str:
    if group.skipped or rules.reflect_all:
        return group.skipped
    if group.all_passed:
        return "every run passed"
    return "" if min(group.scores) < min(rules.threshold, PASS) else f"no run below {rules.threshold:g}"


def _rank(group: Group, state: SamplerState) -> tuple[float, ...]:
    return (
        not group.contrastive,
        -group.spread if group.contrastive else 0.0,
        group.replayed,
        state.reflected.get(group.task.id, 0),
        state.seen.get(group.task.id, 0),
        min(group.scores),
        group.mean,
    )


def _signal(group: Group) -> Signal:
    return Signal(task=group.task, episodes=group.clean, probe=group.probe, replayed=group.replayed)
