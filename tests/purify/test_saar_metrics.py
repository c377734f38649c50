"""Counters and metrics (D26, D27)."""

import pytest

from cleartrace.purify import Effort, SaarConfig, TrajectoryCounters, aggregate
from cleartrace.purify.metrics import gap_metrics


def test_d26_failures_are_counted_not_trajectories(saar):
    run = saar.drive([saar.call("name"), saar.call("name"), saar.call("name"), saar.text()], SaarConfig())
    metrics = aggregate([run.counters, TrajectoryCounters()])
    assert metrics["tool_calls/failure_reason/NameError"] == 3
    assert metrics["tool_calls/failure_traj/NameError"] == 1
    assert metrics["tool_calls/failures_per_trajectory"] == 1.5


def test_d27_first_attempts_and_retries_are_separate_and_split_by_arm(saar):
    script = [saar.call("name"), saar.call("type"), saar.call("ok"), saar.call("ok"), saar.text()]
    on = saar.drive(script, SaarConfig(enable=True)).counters
    off = saar.drive(script, SaarConfig()).counters
    metrics = aggregate([on, off])
    assert (on.first_attempts, on.first_successes, on.retry_attempts, on.retry_successes) == (2, 1, 2, 1)
    assert metrics["tool_calls/total_attempts"] == 2 + 4
    assert metrics["tool_calls/total_attempts/on"] == 2 and metrics["tool_calls/total_attempts/off"] == 4
    assert metrics["tool_calls/retry_success_rate"] == 0.5
    assert metrics["tool_calls/success_rate/off"] == 0.5
    assert metrics["rollback/global_recovery_rate"] == 1.0
    assert metrics["rollback/attempts_hist/2"] == 1
    assert metrics["rollback/global_triggered/off"] == 0


def test_only_kept_splices_count(saar):
    run = saar.drive([saar.call("name"), saar.call("name"), saar.call("ok"), saar.text()])
    metrics = aggregate([run.counters])
    assert metrics["rollback/rollback_tool_call_only_count"] == 1 <= metrics["rollback/global_triggered"]
    assert len(run.counters.similarities) == 2


def test_token_counts_add_up(saar):
    run = saar.drive([saar.call("name"), saar.call("ok", at=20), saar.text()])
    metrics = aggregate([run.counters])
    assert metrics["rollback/generated_tokens"] == 11 and metrics["rollback/discarded_tokens"] == 5
    assert metrics["rollback/discard_ratio"] == pytest.approx(5 / 11)
    assert metrics["rollback/spliced_token_frac"] == pytest.approx(3 / 6)


def test_similarity_percentiles():
    counters = [TrajectoryCounters(similarities=tuple(i / 10 for i in range(11)))]
    metrics = aggregate(counters)
    assert metrics["rollback/similarity_p10"] == pytest.approx(0.1)
    assert metrics["rollback/similarity_p90"] == pytest.approx(0.9)


def test_d12_the_final_cut_is_counted(saar):
    run = saar.drive([saar.call("ok"), saar.text()])
    cut = run.counters.count_tokens(run.segments, run.flat.cut(4), Effort(generated_tokens=100))
    assert cut.cut_tokens == len(run.flat.response_ids) - 4


def test_empty_batch():
    assert aggregate([]) == {}


def test_d1_the_gap_of_spliced_tokens_is_measured():
    """Rows may be padded beyond their mask; tokens that were not spliced count apart, untrained ones nowhere."""
    old = [[-1.0, -2.0, -3.0, 0.0], [-1.0, -1.0]]
    sampled = [[-1.5, -2.1, -2.0, 0.0], [-9.0, -9.0]]
    trained = [[1, 1, 1, 0], [0, 0]]
    metrics = gap_metrics(old, sampled, [[1, 0, 1], [0, 0]], trained)
    assert metrics == pytest.approx(
        {
            "rollback/gap_mean": -0.25,
            "rollback/gap_abs_mean": 0.75,
            "rollback/unspliced_gap_mean": 0.1,
            "rollback/unspliced_gap_abs_mean": 0.1,
            "rollback/unspliced_gap_abs_max": 0.1,
        }
    )
    assert gap_metrics(old, sampled, [[0, 0, 0], []], [[0, 0, 0], []]) == {}
