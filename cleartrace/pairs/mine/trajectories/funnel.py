"""How many trajectories and pairs each stage of the cascade let through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cleartrace.pairs.mine.trajectories.build import AFTER_JUDGING, AFTER_MASKING, Outcome
from cleartrace.pairs.mine.trajectories.store import Store


def funnel(store: Store, selected: dict[str, int]) -> dict[str, Any]:
    """Counts for the data card.

    Trajectories: read, left out by reason, paired up. Pairs of instances per stage, from stage 1 to stage 7; what a
    stage lost is the difference of two lines, and `outcomes` says it by name.
    """
    outcomes = store.outcomes()
    lost = store.left_out()

    def without(gone: Iterable[Outcome], n: int) -> int:
        return n - sum(outcomes.get(one.value, 0) for one in gone)

    candidates = store.candidates()
    masked = without(AFTER_MASKING, candidates)
    judged = without(AFTER_JUDGING, masked)
    read = store.rows_read()
    return {
        "trajectories": {"read": read, "left_out": lost, "used": read - sum(lost.values())},
        "pairs": {
            "1_same_commit": store.instance_pairs("grp"),
            "2_same_file": store.instance_pairs("grp, path"),
            "3_same_function": store.instance_pairs("grp, path, scope"),
            "3_different_change": selected["different_change"],
            "4_related_issues": selected["related_issues"],
            "4_within_uses": candidates,
            "5_masked": masked,
            "6_judged_valid": judged,
            "7_audited": outcomes.get(Outcome.PAIRED.value, 0),
        },
        "outcomes": outcomes,
    }
