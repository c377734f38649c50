"""The real thing, small: train, resume, interrupt. One run folder, in this order."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from cleartrace.trajectory.record import TrajectoryRecord
from tests.end_to_end.run_process import finish, left, rows, start, steps, tail, terminal_of, wait_until

PER_STEP = 4 * 4
HELD_OUT = 8


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two steps."""
    folder = tmp_path_factory.mktemp("smoke") / "run"
    finish(folder, "trainer.total_training_steps=2")
    return folder


def records(run_dir: Path) -> list[TrajectoryRecord]:
    return [TrajectoryRecord.model_validate(row) for row in rows(run_dir / "trajectories.jsonl")]


def check_nothing_stands_twice(run_dir: Path, last: int) -> None:
    assert steps(run_dir) == list(range(1, last + 1))
    found = Counter((r.split, r.step, r.arm, r.sample_id, r.rollout) for r in records(run_dir))
    assert [key for key, n in found.items() if n > 1 and key[0] == "val"] == []
    # The step that an interrupt ended has left its rollouts and no metrics; a resumed run drops them.
    trained = Counter(r.step for r in records(run_dir) if r.split == "train" and r.step <= last)
    assert trained == {step: PER_STEP for step in range(1, last + 1)}


def check_cumulative_tokens(run_dir: Path) -> None:
    """(D28): the sum of what each step generated, over resumes too."""
    total = 0
    for row in rows(run_dir / "metrics.jsonl"):
        if "timing_s/step" not in row["data"]:
            continue
        total += sum(r.generated_tokens for r in records(run_dir) if r.split == "train" and r.step == row["step"])
        assert row["data"]["cleartrace/generated_tokens_cum"] == total


def test_a_run_leaves_its_files(run_dir: Path):
    check_nothing_stands_twice(run_dir, 2)
    check_cumulative_tokens(run_dir)
    assert (run_dir / "checkpoints/global_step_2/actor").is_dir()
    saved = run_dir / "checkpoints/global_step_2/actor/huggingface"
    assert "packed_sdpa" not in (saved / "config.json").read_text(), "plain transformers cannot load this"
    assert (run_dir / "config.yaml").exists()
    report = (run_dir / "report.html").read_text()
    assert "smoke" in report
    shown = terminal_of(run_dir)
    assert "Report:" in shown and "held-out solved" in shown and "Traceback" not in shown


def test_no_rollout_is_lost_and_the_gap_of_spliced_tokens_is_logged(run_dir: Path):
    """(D1)"""
    spliced = {r.step for r in records(run_dir) if r.split == "train" and any(p.splice for p in r.repairs)}
    assert spliced, "nothing was repaired, so this test shows nothing"
    for row in rows(run_dir / "metrics.jsonl"):
        data = row["data"]
        assert data.get("cleartrace/lost_trajectories", 0) == data.get("cleartrace/val/lost_trajectories", 0) == 0
        if row["step"] in spliced and "timing_s/step" in data:
            assert data["rollback/gap_abs_mean"] >= abs(data["rollback/gap_mean"]) > 0


def test_both_arms_are_evaluated_before_and_after(run_dir: Path):
    """(D20)"""
    held_out = Counter((r.step, r.arm) for r in records(run_dir) if r.split == "val")
    assert held_out == {(0, "off"): HELD_OUT, (0, "on"): HELD_OUT, (2, "off"): HELD_OUT, (2, "on"): HELD_OUT}
    assert not [r for r in records(run_dir) if r.arm == "off" and r.repairs]


def test_the_counters_of_every_trajectory_agree_with_its_record(run_dir: Path):
    for record in records(run_dir):
        calls = [c for c in record.tool_calls if c.status not in ("infra_error", "not_executed")]
        counters = record.counters
        assert counters["tool_call_total"] == len(calls)
        assert counters["tool_call_success"] == sum(c.status == "ok" for c in calls)
        assert counters["first_attempt_total"] == sum(c.attempt == 0 for c in calls)
        assert counters["global_rollback_triggered"] == len(record.repairs)
        recovered = sum(repair.outcome == "recovered" for repair in record.repairs)
        assert counters["global_rollback_recovered"] == recovered
        assert counters["global_rollback_failed"] == len(record.repairs) - recovered
        kept = sum(len(s.token_ids) for s in record.segments if s.kind.startswith("assistant"))
        assert record.generated_tokens - record.discarded_tokens == kept
        assert not record.masked, "the judge failed"
        assert record.reward is not None and record.acc is not None
        assert all(len(s.pieces) == len(s.token_ids) for s in record.segments)
        assert all(s.logprobs is not None for s in record.segments if s.loss)


def test_the_metrics_of_a_step_are_the_sums_of_its_trajectories(run_dir: Path):
    """(D26, D27)"""
    for row in rows(run_dir / "metrics.jsonl"):
        if "timing_s/step" not in row["data"]:
            continue
        mine = [r for r in records(run_dir) if r.split == "train" and r.step == row["step"]]
        recovered = sum(r.counters["global_rollback_recovered"] for r in mine)
        assert row["data"]["rollback/global_recovered"] == recovered
        assert row["data"]["cleartrace/train/acc"] == pytest.approx(sum(bool(r.acc) for r in mine) / len(mine))


def test_trainer_and_engine_agree_on_every_probability(run_dir: Path):
    """Where nothing was spliced the engine's log-probs are the trainer's, before and after a weight update."""
    found = [row["data"] for row in rows(run_dir / "metrics.jsonl") if "timing_s/step" in row["data"]]
    assert len(found) == 2
    for data in found:
        assert data["rollback/unspliced_gap_abs_max"] <= 1e-4
        assert data["rollback/unspliced_gap_abs_mean"] <= 1e-5


def test_the_same_command_resumes_and_an_interrupt_stops_everything_it_started(run_dir: Path):
    before = (run_dir / "trajectories.jsonl").read_text()
    process, mark = start(run_dir, "trainer.total_training_steps=50")
    try:
        began = wait_until(lambda: 3 in steps(run_dir) or process.poll() is not None, seconds=300)
        assert began and process.poll() is None, tail(run_dir / "train.log")
        assert len(left(mark)) > 3
        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
        status = process.wait(90)
    finally:
        process.kill()
    assert status == 130, terminal_of(run_dir)
    assert wait_until(lambda: not left(mark)), f"processes left: {left(mark)}"
    assert "the same command resumes it" in terminal_of(run_dir)
    last = max(steps(run_dir))
    assert last >= 3 and (run_dir / "trajectories.jsonl").read_text().startswith(before)
    check_nothing_stands_twice(run_dir, last)
    check_cumulative_tokens(run_dir)
