"""The numbers of the header, on runs small enough to count by hand."""

from __future__ import annotations

import random

from make_run import make_record

from cleartrace.report.load import MetricRow, Run
from cleartrace.report.summary import first_call_failed, format_seconds, hide_secrets, lookup, summarise
from cleartrace.trajectory.record import ToolCallRecord, TrajectoryRecord

RNG = random.Random(0)


def record(step: int, *, acc: bool | None, **changes: object) -> TrajectoryRecord:
    return make_record(
        RNG, step=step, split=str(changes.pop("split", "val")), number=RNG.randrange(10**6), acc=acc, **changes
    )


def call(status: str, position: int = 1, attempt: int = 0) -> ToolCallRecord:
    return ToolCallRecord(position=position, attempt=attempt, code="", status=status, text="")


def test_solve_rate_before_and_after_with_n_and_interval_for_both_modes() -> None:
    """D20: rollback off and on are separate rows."""
    records = [record(0, acc=i < 2) for i in range(10)] + [record(5, acc=i < 8) for i in range(10)]
    records += [record(5, acc=True, arm="on"), record(5, acc=None), record(5, acc=False, masked=True)]
    summary = summarise(Run("r", {}, (), tuple(records)))
    off, on = summary.changes[:2]
    assert off.label.endswith("rollback off") and off.after is not None
    assert (off.before.value, off.before.n, off.after.value, off.after.n) == (0.2, 10, 0.8, 10)
    assert [round(v, 4) for v in off.after.interval or ()] == [0.4902, 0.9433]
    assert on.label.endswith("rollback on") and on.before.n == 1 and on.after is None
    assert any("1 of 23 trajectories were lost to infrastructure" in note for note in summary.notes)


def test_metrics_stand_in_where_no_rows_were_kept_and_disagreement_is_told() -> None:
    metrics = (MetricRow(0, {"cleartrace/val/acc": 0.25}), MetricRow(9, {"cleartrace/val/acc": 0.75}))
    change = summarise(Run("r", {}, metrics, ())).changes[0]
    assert change.after is not None
    assert (change.before.value, change.before.interval, change.after.value) == (0.25, None, 0.75)
    both = summarise(Run("r", {}, metrics, tuple(record(9, acc=i < 1) for i in range(2))))
    assert any("step 9: metrics.jsonl says 75.0%, the trajectory rows 50.0%" in note for note in both.notes)


def test_first_call_is_the_first_attempt_of_the_first_position() -> None:
    calls = [call("ok", attempt=1), call("program_error"), call("ok", position=2)]
    assert first_call_failed(record(0, acc=True, tool_calls=calls)) is True
    assert first_call_failed(record(0, acc=True, tool_calls=calls[2:])) is False
    assert first_call_failed(record(0, acc=True, tool_calls=[call("infra_error")])) is None
    assert first_call_failed(record(0, acc=True, tool_calls=[])) is None


def test_totals_count_repairs_all_tokens_and_time() -> None:
    """D20: the tokens include discarded ones."""
    data = {"rollback/global_triggered": 4.0, "rollback/global_recovered": 3.0, "timing_s/step": 30.0}
    metrics = (
        MetricRow(1, data | {"cleartrace/generated_tokens_cum": 500.0}),
        MetricRow(2, data | {"cleartrace/generated_tokens_cum": 900.0}),
    )
    rows = (
        record(1, acc=True, split="train", generated_tokens=80, discarded_tokens=20),
        record(2, acc=True, generated_tokens=1000, discarded_tokens=0),
    )
    totals = summarise(Run("r", {}, metrics, rows)).totals
    assert totals["Repairs"] == ("6", "75% of 8 rolled back")
    assert totals["Generated tokens"] == ("900", "25.0% discarded by rollbacks")
    assert totals["Wall time"] == ("1 min 00 s", "sum over 2 steps")


def test_rollouts_that_verl_left_out_are_named() -> None:
    metrics = (MetricRow(1, {"cleartrace/lost_trajectories": 2.0}), MetricRow(2, {"cleartrace/lost_trajectories": 0.0}))
    (note,) = summarise(Run("r", {}, metrics, ())).notes
    assert note.startswith("2 rollouts raised an exception")
    assert summarise(Run("r", {}, metrics[1:], ())).notes == ()


def test_settings_come_from_the_first_key_that_is_set() -> None:
    assert lookup({"a": {"b": 0}}, ("a.c", "a.b")) == "0"
    assert lookup({"a": {"b": {}}}, ("a.b", "a.b.c", "x.y")) is None


def test_secrets_of_the_config_are_hidden() -> None:
    config = {"judge": [{"auth_token": "s3cret", "api_key": "k"}], "max_tokens": 5, "pad_token": "", "eos_token_id": 2}
    assert hide_secrets(config) == {
        "judge": [{"auth_token": "***", "api_key": "***"}],
        "max_tokens": 5,
        "pad_token": "",
        "eos_token_id": 2,
    }


def test_seconds_are_readable() -> None:
    assert [format_seconds(s) for s in (4.25, 59.99, 185, 7620)] == ["4.2 s", "60.0 s", "3 min 05 s", "2 h 07 min"]


def test_what_retries_cost_is_shown_of_training_alone() -> None:
    """D20: calls, tokens and time of regenerations, kept or not."""
    cost = {"retry_calls": 2.0, "retry_tokens": 30.0, "retry_generate_s": 1.0, "retry_tool_s": 0.5, "score_s": 0.5}
    whole = {"generate_s": 5.0, "tool_s": 2.5}
    records = [record(1, acc=True, split="train", counters=cost | whole) for _ in range(2)]
    records.append(record(1, acc=True, split="val", counters=cost | whole))
    value, remark = summarise(Run("r", {}, (), tuple(records))).totals["Retries"]
    assert value == "4 calls"
    assert remark == "60 tokens sampled by regenerations, 25.0% of the rollouts' time"
    assert "Retries" not in summarise(Run("r", {}, (), (record(1, acc=True, split="train"),))).totals
