"""Decisions of a training step, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def is_spoiled(fields: Mapping[str, Any]) -> bool:
    """True when infrastructure failed in the rollout or in its grading, so that its score says nothing.

    Args:
        fields: `extra_fields` of the rollout.
    """
    return bool(fields.get("saar_masked") or (fields.get("reward_extra_info") or {}).get("ungraded"))


def is_left_out(fields: Mapping[str, Any]) -> bool:
    """True when the rollout is not learned from: spoiled, or dropped because a repair failed (`drop_exhausted`)."""
    return is_spoiled(fields) or bool(fields.get("saar_dropped"))


def score_metrics(graded: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Shares of graded rollouts: right by the grader, and with a score above 0, which is not the same (D29).

    Args:
        graded: what the reward function returned for each; veRL calls a bare number `acc`.
    """
    if not graded:
        return {}
    right = sum(bool(g["acc"]) for g in graded) / len(graded)
    positive = sum(g.get("score", g["acc"]) > 0 for g in graded) / len(graded)
    return {"cleartrace/train/acc": right, "critic/score/acc": right, "critic/score/positive": positive}


def isolated_uids(uids: Sequence[str], masked: Sequence[bool]) -> list[str]:
    """Group ids in which each masked rollout is a group of its own: its reward says nothing about its siblings.

    Raises RuntimeError when every rollout is masked.
    """
    if masked and all(masked):
        raise RuntimeError(
            "No rollout of this step can be learned from: every one met an infrastructure failure or was dropped "
            "after a failed repair (drop_exhausted). Look at masked, dropped and tool_calls in trajectories.jsonl and "
            "at the judge's log, then start the run again."
        )
    return [f"{uid}-masked-{i}" if alone else uid for i, (uid, alone) in enumerate(zip(uids, masked, strict=True))]


def last_step(*, step: int, total: int, generated: int, last: int, budget: int | None) -> int:
    """The step to stop at, when `generated` tokens were sampled up to `step` and `last` of them in it.

    The next step has to know that it is the last one, because veRL decides on the final validation and
    checkpoint when a step begins; so it is expected to sample as many tokens as this one.
    """
    if budget and generated + last >= budget:
        return min(total, step + 1)
    return total


def owes_validation(logged: Iterable[Mapping[str, Any]], *, step: int, total: int, every: int) -> bool:
    """Whether a run was ended between the checkpoint of `step` and the validation that follows it.

    Args:
        logged: rows of `metrics.jsonl`.
        every: `trainer.test_freq`; the last step is validated too, unless this is 0 or less.
    """
    if every <= 0 or (step < total and step % every):
        return False
    keys = (key for row in logged if row["step"] == step for key in row["data"])
    return not any(key.startswith(("val-", "cleartrace/val")) for key in keys)


def check_refill(*, refilled: int, batch: int, limit: int) -> None:
    """Group filtering replaces prompts whose rollouts are all graded alike; `limit` batches of them end the run.

    veRL's V1 trainer draws prompts without end and only warns of `max_num_gen_batches`. A limit of 0 leaves it so.

    Raises RuntimeError beyond the limit.
    """
    if limit > 0 and refilled > limit * batch:
        raise RuntimeError(
            f"Group filtering has replaced {refilled} prompts in one step, more than "
            f"algorithm.filter_groups.max_num_gen_batches={limit} batches of {batch}: nearly every prompt is solved by "
            "all of its rollouts or by none. Choose other data, or switch algorithm.filter_groups off."
        )
