"""Stages 3 and 4: which two runs to put against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from cleartrace.pairs.mine.trajectories.issues import Idf
from cleartrace.pairs.mine.trajectories.options import MineOptions
from cleartrace.pairs.mine.trajectories.store import Issue, Run, Store


@dataclass
class Selection:
    """Pairs of run ids, and how many pairs of instances passed each rule."""

    pairs: list[tuple[int, int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def closest(a: Iterable[Run], b: Iterable[Run]) -> tuple[Run, Run]:
    """Of several runs on two tasks, the two that are most alike in edits, turns and length."""

    def distance(pair: tuple[Run, Run]) -> tuple[float, ...]:
        one, two = pair
        longer, shorter = max(one.chars, two.chars), max(1, min(one.chars, two.chars))
        return abs(one.edits - two.edits), abs(one.turns - two.turns), longer / shorter, one.id, two.id

    others = list(b)
    return min(((one, two) for one in a for two in others), key=distance)


def related(a: Issue, b: Issue, idf: Idf, options: MineOptions) -> bool:
    """Stage 4. Unknown tests do not speak against a pair."""
    if a.tests and a.tests == b.tests:
        return False
    if len(a.names & b.names) < options.shared_names:
        return False
    return options.min_cosine <= idf.cosine(a.terms, b.terms) <= options.max_cosine


def _by_instance(runs: Iterable[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.instance, []).append(run)
    return found


def _pairs(runs: list[Run]) -> Iterator[tuple[Run, Run] | None]:
    """Per two instances, the closest runs with different changes; None where all their changes are the same."""
    for (_, a), (_, b) in combinations(_by_instance(runs).items(), 2):
        changes = {run.change for run in a} & {run.change for run in b}
        a, b = ([run for run in side if run.change not in changes] for side in (a, b))
        yield closest(a, b) if a and b else None


def select(store: Store, options: MineOptions) -> Selection:
    """Go through all functions. An instance is used `max_uses` times at most, first come first served."""
    idf = Idf(store.all_terms())
    chosen, uses = Selection(), Counter[str]()
    for runs in store.same_function():
        issues = {run.instance: store.issue(run.instance) for run in runs}
        for pair in _pairs(runs):
            if pair is None:
                continue
            chosen.counts["different_change"] += 1
            a, b = pair
            if not related(issues[a.instance], issues[b.instance], idf, options):
                continue
            chosen.counts["related_issues"] += 1
            if max(uses[a.instance], uses[b.instance]) < options.max_uses:
                uses.update((a.instance, b.instance))
                chosen.pairs.append((a.id, b.id))
    return chosen
