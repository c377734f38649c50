"""CLEANER and ContextRL in one run: rollbacks in the rollouts, pairs in every optimizer step."""

from __future__ import annotations

import json

import pytest

from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.make.rule_families import RuleFamily
from cleartrace.pairs.make.rules import make_rules
from tests.end_to_end.run_process import finish, rows

CONTEXT = "actor_rollout_ref.context_rl"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    pairs = make_rules(12, families=[RuleFamily.FACT], level=1)
    write_pairs(folder / "train.jsonl", pairs[:16])
    write_pairs(folder / "held_out.jsonl", pairs[16:])
    finish(
        folder / "run",
        "trainer.total_training_steps=2",
        "actor_rollout_ref.actor.ppo_mini_batch_size=2",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
        *(f"{CONTEXT}.enable=true", f"{CONTEXT}.batch_size=4", f"{CONTEXT}.grad_ratio_every=1"),
        *(f"{CONTEXT}.train_files=[{folder}/train.jsonl]", f"{CONTEXT}.val_files=[{folder}/held_out.jsonl]"),
    )
    return folder / "run"


def metrics_of(run_dir):
    return [(row["step"], row["data"]) for row in rows(run_dir / "metrics.jsonl")]


def test_every_step_learns_from_pairs_and_from_purified_rollouts(run_dir):
    trained = [data for _, data in metrics_of(run_dir) if "timing_s/step" in data]
    assert len(trained) == 2
    for data in trained:
        # Fused kernels, the default on a CPU, give no logits: two rows for each of the four pairs.
        assert data["actor/ca/rows"] == 8 and data["actor/ca/dropped"] == 0
        # The ratio is left out where no group of a step has two rewards, and so no policy gradient.
        assert 0 < data["actor/ca/loss"] < 2 and data.get("actor/ca/grad_ratio", 1) > 0
        assert "rollback/global_recovered" in data and data["cleartrace/lost_trajectories"] == 0


def test_held_out_pairs_are_scored_before_and_after(run_dir):
    """W16"""
    scored = [(step, data["actor/ca/val_pairs"]) for step, data in metrics_of(run_dir) if "actor/ca/val_acc" in data]
    assert scored == [(0, 8), (2, 8)]


def test_a_checkpoint_says_where_the_stream_of_pairs_stands(run_dir):
    """W11: two steps of two mini-batches; sixteen pairs are seen once in the first four optimizer steps."""
    states = [run_dir / f"checkpoints/global_step_{step}/context.json" for step in (1, 2)]
    found = [json.loads(path.read_text())["optimizer_steps"] for path in states if path.exists()]
    assert found[-1] == 4
    assert [data["actor/ca/epoch"] for _, data in metrics_of(run_dir) if "timing_s/step" in data] == [0, 0]
