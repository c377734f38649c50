"""The pure parts around the trainer: metrics of the arms, run files, masking, budget, progress, preflight."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from cleartrace.purify.counters import TrajectoryCounters
from cleartrace_verl import preflight
from cleartrace_verl.progress import Tail, describe, steps_left
from cleartrace_verl.run_files import JsonLines, MetricsLogger
from cleartrace_verl.step_rules import (
    check_refill,
    is_spoiled,
    isolated_uids,
    last_step,
    owes_validation,
    score_metrics,
)
from cleartrace_verl.totals import Totals
from cleartrace_verl.validation import arm_metrics
from tests.verl.rollouts import POLICY, config_with

# --- validation -----------------------------------------------------------------------------------------------------


def row(arm: str = "off", *, acc: bool = True, masked: bool = False, calls: str = "ok", tokens: int = 10) -> dict:
    statuses = calls.split()
    return {
        "arm": arm,
        "acc": acc,
        "masked": masked,
        "generated_tokens": tokens,
        "counters": {"first_attempt_total": len(statuses), "first_attempt_success": statuses.count("ok")},
        "tool_calls": [{"status": status} for status in statuses],
    }


def test_each_arm_has_its_own_metrics():
    """(D20): the arm with rollback is compared at all the tokens it sampled."""
    rows = [row(acc=False), row(acc=True, tokens=30), row("on", tokens=50)]
    got = arm_metrics(rows)
    assert (got["cleartrace/val/acc"], got["cleartrace/val/n"]) == (0.5, 2.0)
    assert got["cleartrace/val/tokens_per_trajectory"] == 20
    assert (got["cleartrace/val_on/acc"], got["cleartrace/val_on/tokens_per_trajectory"]) == (1.0, 50)


def test_a_rollout_spoiled_by_infrastructure_is_counted_and_not_graded():
    """(D7)"""
    got = arm_metrics([row(acc=True), row(acc=False, masked=True)])
    assert (got["cleartrace/val/acc"], got["cleartrace/val/n"], got["cleartrace/val/masked"]) == (1.0, 1.0, 1.0)


def test_failures_are_counted_per_call_and_per_trajectory():
    got = arm_metrics([row(calls="program_error ok"), row(calls="ok ok"), row(calls="")])
    assert got["cleartrace/val/call_failure_rate"] == pytest.approx(1 / 4)
    assert got["cleartrace/val/failures_per_trajectory"] == pytest.approx(1 / 3)
    assert got["cleartrace/val/first_call_failure_rate"] == pytest.approx(1 / 2)


def test_no_rate_is_made_up_where_nothing_was_called_or_graded():
    got = arm_metrics([row(calls="")])
    assert not [name for name in got if name.endswith("failure_rate")]
    assert arm_metrics([row(masked=True)]) == {}
    assert arm_metrics([]) == {}


# --- run files ------------------------------------------------------------------------------------------------------


def test_what_a_resumed_run_does_again_is_dropped(tmp_path: Path):
    file = JsonLines(tmp_path / "deep" / "metrics.jsonl")
    file.append({"step": step} for step in (0, 1, 2, 3))
    file.drop_after(1)
    file.append([{"step": 2, "again": True}])
    assert [json.loads(line) for line in file.path.read_text().splitlines()] == [
        {"step": 0},
        {"step": 1},
        {"step": 2, "again": True},
    ]


def test_a_truncated_last_line_is_dropped_too(tmp_path: Path):
    file = JsonLines(tmp_path / "t.jsonl")
    file.append([{"step": 1}])
    with file.path.open("a") as raw:
        raw.write('{"step": 1, "text": "unfini')
    file.drop_after(5)
    assert file.path.read_text() == '{"step": 1}\n'


def test_dropping_from_a_file_that_is_not_there_makes_none(tmp_path: Path):
    JsonLines(tmp_path / "t.jsonl").drop_after(0)
    assert not (tmp_path / "t.jsonl").exists()


def test_a_run_without_a_checkpoint_keeps_nothing(tmp_path: Path):
    file = JsonLines(tmp_path / "t.jsonl")
    file.append([{"step": 0}, {"step": 1}])
    file.drop_after(-1)
    assert file.path.read_text() == ""


def test_metrics_are_written_as_plain_numbers(tmp_path: Path):
    MetricsLogger(tmp_path / "m.jsonl").log({"a": np.float32(0.5), "b": np.int64(3), "c": 1.0}, step=4)
    written = json.loads((tmp_path / "m.jsonl").read_text())
    assert (written["step"], written["data"]) == (4, {"a": 0.5, "b": 3, "c": 1.0})


def test_a_metric_that_is_no_number_is_refused(tmp_path: Path):
    with pytest.raises(TypeError, match="ndarray is not a metric value"):
        MetricsLogger(tmp_path / "m.jsonl").log({"a": np.zeros(2)}, step=1)


# --- rules of a step ------------------------------------------------------------------------------------------------


def test_filtering_that_finds_no_group_to_learn_from_ends():
    check_refill(refilled=64, batch=16, limit=4)
    check_refill(refilled=10**6, batch=16, limit=0)
    with pytest.raises(RuntimeError, match="max_num_gen_batches=4 batches of 16"):
        check_refill(refilled=65, batch=16, limit=4)


@pytest.mark.parametrize(
    ("step", "logged", "owed"),
    [
        (4, {"timing_s/step": 1.0}, True),
        (4, {"cleartrace/val/acc": 0.5}, False),
        (4, {"val-aux/num_turns/min": 2}, False),
        (3, {}, False),
        (7, {}, True),
    ],
)
def test_a_run_ended_between_its_checkpoint_and_its_validation_owes_it(step, logged, owed):
    rows = [{"step": 0, "data": {"cleartrace/val/acc": 0.1}}, {"step": step, "data": logged}]
    assert owes_validation(rows, step=step, total=7, every=2) is owed
    assert not owes_validation([], step=step, total=7, every=-1)


def test_a_masked_rollout_leaves_its_group():
    assert isolated_uids(["a", "a", "b"], [False, True, False]) == ["a", "a-masked-1", "b"]


@pytest.mark.parametrize(
    ("fields", "spoiled"),
    [
        ({"saar_masked": True, "reward_extra_info": {"ungraded": False}}, True),
        ({"saar_masked": False, "reward_extra_info": {"ungraded": True}}, True),
        ({"saar_masked": False, "reward_extra_info": {"ungraded": False}}, False),
        ({}, False),
    ],
)
def test_a_rollout_is_spoiled_by_its_tools_or_by_its_grader(fields, spoiled):
    """(D7)"""
    assert is_spoiled(fields) is spoiled


def test_d29_a_positive_score_is_not_a_right_answer():
    graded = [{"acc": False, "score": 0.5}, {"acc": True, "score": -0.2}, {"acc": True, "score": 1.0}]
    metrics = score_metrics(graded)
    assert metrics["critic/score/acc"] == metrics["cleartrace/train/acc"] == pytest.approx(2 / 3)
    assert metrics["critic/score/positive"] == pytest.approx(2 / 3)
    assert score_metrics(graded[:1]) == {"cleartrace/train/acc": 0, "critic/score/acc": 0, "critic/score/positive": 1}
    assert score_metrics([]) == {}


def test_totals_go_on_after_a_resume(tmp_path: Path):
    """(D28)"""
    step = [TrajectoryCounters(generated_tokens=10, first_attempts=2, first_successes=1), TrajectoryCounters()]
    Totals().plus(step).save(tmp_path / "t.json")
    resumed = Totals.load(tmp_path / "t.json").plus([*step, *step])
    assert resumed.metrics() == {"cleartrace/generated_tokens_cum": 30, "tool_calls/global_success_rate": 0.5}
    assert Totals().metrics() == {"cleartrace/generated_tokens_cum": 0}


def test_totals_that_cannot_be_written_leave_those_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Totals(generated_tokens=10).save(tmp_path / "t.json")

    def full_disk(path: Path, *_: object, **__: object) -> None:
        path.open("w").close()
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        Totals(generated_tokens=20).save(tmp_path / "t.json")
    assert Totals.load(tmp_path / "t.json").generated_tokens == 10


def test_two_masked_rollouts_share_no_group():
    fresh = isolated_uids(["a", "a", "a"], [True, True, False])
    assert len(set(fresh)) == 3
    assert not any("_" in uid for uid in fresh), "veRL splits keys at an underscore"


def test_a_step_in_which_all_are_masked_stops_the_run():
    with pytest.raises(RuntimeError, match="infrastructure failure"):
        isolated_uids(["a", "b"], [True, True])


@pytest.mark.parametrize(
    ("generated", "budget", "stop"),
    [(100, None, 30), (100, 1000, 30), (950, 1000, 6), (990, 1000, 6), (1200, 1000, 6), (940, 1000, 30)],
)
def test_the_step_that_reaches_the_token_budget_is_the_last(generated, budget, stop):
    assert last_step(step=5, total=30, generated=generated, last=50, budget=budget) == stop


def test_a_budget_never_adds_steps():
    assert last_step(step=30, total=30, generated=10**6, last=1, budget=10) == 30


# --- progress -------------------------------------------------------------------------------------------------------


def test_a_step_is_one_line_with_the_time_left():
    (line,) = describe(3, 10, {"cleartrace/train/acc": 0.5, "timing_s/step": 10.0, "rollback/global_recovered": 7})
    assert "step   3/10" in line and "solved 50.0%" in line and "repaired 7" in line and "about 1:10 left" in line


def test_both_arms_of_a_validation_are_shown():
    lines = describe(
        0,
        10,
        {
            "cleartrace/val/acc": 0.4,
            "cleartrace/val/n": 20.0,
            "cleartrace/val/first_call_failure_rate": 0.25,
            "cleartrace/val_on/acc": 0.6,
            "cleartrace/val_on/n": 20.0,
        },
    )
    assert len(lines) == 2
    assert "held-out solved 40.0%" in lines[0] and "of 20" in lines[0] and "25.0%" in lines[0]
    assert "held-out with rollback solved 60.0%" in lines[1]


def test_a_row_without_news_gives_no_line():
    assert describe(1, 2, {"timing_s/gen": 3.0, "x": math.nan}) == []


@pytest.mark.parametrize(
    ("step", "total", "generated", "budget", "left"),
    [(3, 10, 900, None, 7), (3, 10, 900, 1500, 2), (3, 10, 900, 1501, 3), (3, 4, 900, 9000, 1), (3, 10, 900, 800, 0)],
)
def test_a_token_budget_shortens_the_time_left(step, total, generated, budget, left):
    assert steps_left(step, total, generated, budget) == left


def test_tail_gives_complete_new_lines_only(tmp_path: Path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"old": 1}\n')
    tail = Tail(path)
    assert tail.read() == []
    with path.open("a") as file:
        file.write('{"a": 1}\n{"b":')
    assert tail.read() == [{"a": 1}]
    with path.open("a") as file:
        file.write(" 2}\n")
    assert tail.read() == [{"b": 2}]


def test_tail_waits_for_a_file_and_survives_its_cut(tmp_path: Path):
    path = tmp_path / "m.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    path.write_text('{"a": 1}\n{"b": 2}\n')
    assert len(tail.read()) == 2
    path.write_text('{"c": 3}\n')
    assert tail.read() == [{"c": 3}]


# --- preflight ------------------------------------------------------------------------------------------------------


def config(**changes: Any) -> Any:
    made = config_with()
    OmegaConf.update(made, "actor_rollout_ref.model.path", str(POLICY))
    for key, value in changes.items():
        OmegaConf.update(made, key.replace("__", "."), value, force_add=True)
    return made


def test_a_configuration_that_can_start_has_no_problems():
    assert preflight.problems(config()) == []


@pytest.mark.parametrize("path", ["/no/such/model", "dataset/no_such_model", "./nowhere"])
def test_a_missing_model_is_named(path):
    (problem,) = preflight.problems(config(actor_rollout_ref__model__path=path))
    assert path in problem and "actor_rollout_ref.model.path" in problem


def test_a_model_of_the_hub_is_not_looked_for_on_disk():
    assert preflight.problems(config(actor_rollout_ref__model__path="Qwen/Qwen3-4B")) == []


def test_a_missing_data_file_is_named(tmp_path: Path):
    found = preflight.problems(config(cleartrace__tasks__train=0, data__train_files=str(tmp_path / "t.parquet")))
    assert any("data.train_files" in problem and "t.parquet" in problem for problem in found)


def test_a_missing_column_is_named(tmp_path: Path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"prompt": ["x"], "answer": ["y"]}), path)
    found = preflight.problems(config(cleartrace__tasks__train=0, data__train_files=[str(path)]))
    (problem,) = [p for p in found if "train_files" in p]
    assert "lacks the column(s) data_source, reward_model" in problem and "answer" in problem


def test_rows_that_ask_for_programs_are_no_problem(tmp_path: Path):
    path = tmp_path / "t.parquet"
    sources = ["math", "livecodebench-code", "math"]
    pq.write_table(pa.table({"prompt": ["x"] * 3, "data_source": sources, "reward_model": ["y"] * 3}), path)
    found = preflight.problems(config(cleartrace__tasks__train=0, data__train_files=[str(path)]))
    assert [problem for problem in found if "train_files" in problem] == []


def test_too_few_logical_cpus_are_named_before_ray_waits_for_them():
    (problem,) = preflight.problems(config(ray_kwargs__ray_init__num_cpus=4))
    assert "num_cpus=4 is too small: 5 logical CPUs" in problem


def test_a_missing_adapter_is_named(tmp_path: Path):
    path = str(tmp_path / "adapter")
    (problem,) = preflight.problems(config(actor_rollout_ref__model__lora_adapter_path=path))
    assert f"No LoRA adapter at {path}" in problem


def test_micro_batches_must_divide_what_they_cut():
    found = preflight.problems(config(actor_rollout_ref__actor__ppo_mini_batch_size=2, data__train_batch_size=2))
    assert len(found) == 2
    assert "A mini-batch has 16 rollouts per training rank" in found[0]
    assert "ppo_micro_batch_size_per_gpu=32 does not divide that" in found[0]
    assert "A step has 16 rollouts" in found[1] and "log_prob_micro_batch_size_per_gpu=32" in found[1]


def test_a_step_is_filled_up_to_whole_mini_batches():
    assert preflight.problems(config(data__train_batch_size=20)) == []


def test_spliced_tokens_and_bypassed_log_probs_do_not_mix():
    (problem,) = preflight.problems(config(algorithm__rollout_correction__bypass_mode=True))
    assert "bypass_mode=true cannot be combined with rollback" in problem


def test_a_judge_that_does_not_answer_is_named():
    (problem,) = preflight.problems(config(cleartrace__judge__url="http://127.0.0.1:9"))
    assert "http://127.0.0.1:9" in problem and "code-judge serve" in problem


def test_a_judge_address_without_a_scheme_is_a_problem_and_no_crash():
    (problem,) = preflight.problems(config(cleartrace__judge__url="localhost"))
    assert "localhost" in problem


def test_every_problem_is_reported_at_once():
    found = preflight.problems(
        config(actor_rollout_ref__model__path="/no/model", cleartrace__judge__url="http://127.0.0.1:9")
    )
    assert len(found) == 2


def test_a_run_without_calls_says_nothing_of_them_and_a_run_with_pairs_says_how_they_went():
    (held_out,) = describe(0, 4, {"cleartrace/val/acc": 0.5, "cleartrace/val/n": 8})
    assert held_out.endswith("of 8") and "nan" not in held_out
    data = {"cleartrace/train/acc": 0.5, "actor/ca/acc": 0.75, "actor/ca/val_acc": 0.6, "actor/ca/val_pairs": 40}
    step, pairs = describe(1, 4, data)
    assert "pairs right 75%" in step and "held-out pairs right 60.0%" in pairs and "of 40" in pairs
