"""The study's arms, files and tables; the runs themselves are the quickstart's."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cleartrace.purify import SaarConfig
from cleartrace_verl.compose import compose
from cleartrace_verl.preflight import problems
from recipe import runner
from recipe.cleaner.study import runs, tables
from recipe.cleaner.study.arms import ARMS, BY_NAME, Arm, Group
from recipe.cleaner.study.runs import Job

ROOT = Path(__file__).resolve().parents[3]
ISSUE = {"similarity_threshold": {0.3, 0.5, 0.7}, "probability": {0.5, 1.0}}


def saar_of(arm: Arm) -> SaarConfig:
    (command,) = Job(arm, 0, 1000).commands()
    overrides = command[command.index("recipe/cleaner") + 1 :]
    config = compose(overrides, [ROOT / "recipe/cleaner"])
    OmegaConf.resolve(config)
    assert problems(config) == []
    return SaarConfig(**config.actor_rollout_ref.rollout.custom.saar)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_every_arm_trains_with_what_it_says(arm: Arm) -> None:
    got = saar_of(arm)
    if arm.saar is None:
        assert not got.enable
    else:
        assert got == SaarConfig.published(**arm.saar)


def test_the_arms_are_those_of_the_issue() -> None:
    """Main arms over five seeds; every other policy, gamma and p over three (issue 4)."""
    configs = [SaarConfig.published(**arm.saar) for arm in ARMS if arm.saar is not None]
    assert {c.policy.value for c in configs} == {"similarity", "replace", "append", "importance", "tolerate_first"}
    for key, values in ISSUE.items():
        assert {getattr(c, key) for c in configs} == values
    assert [arm.name for arm in ARMS if arm.group is Group.MAIN] == ["grpo", "cleaner", "cleaner-token-is"]
    assert {arm.group.seeds for arm in ARMS if arm.group is not Group.MAIN} == {3}


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Six runs whose files say what the tables must."""
    monkeypatch.setattr(runs, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    jobs = [Job(BY_NAME[name], seed, 1000) for name in ("grpo", "cleaner", "replace") for seed in (0, 1)]
    after = {"grpo": 0.6, "cleaner": 0.5, "replace": 0.7}
    for job in jobs:
        job.run_dir.mkdir(parents=True)
        lines = [{"step": 0, "data": {"cleartrace/val/acc": 0.4, "cleartrace/generated_tokens_cum": 0}}]
        for step in range(1, 6):
            data = {"tool_calls/failures_per_trajectory": float(step), "cleartrace/generated_tokens_cum": 200 * step}
            lines.append({"step": step, "data": data})
        lines[-1]["data"]["cleartrace/val/acc"] = after[job.arm.name] + 0.1 * job.seed
        (job.run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        job.export()
    return jobs


def test_tables_pair_by_seed_and_average_the_last_training_steps(finished: list[Job]) -> None:
    column = {(c.split, c.metric): c for c in tables.COLUMNS}
    ends = tables.ends(finished, column["held_out", "acc"])
    assert ends == {
        "grpo": {0: 0.6, 1: pytest.approx(0.7)},
        "cleaner": {0: 0.5, 1: pytest.approx(0.6)},
        "replace": {0: 0.7, 1: pytest.approx(0.8)},
    }
    assert tables.ends(finished, column["train", "failures_per_trajectory"])["grpo"][0] == 4.0
    differences = tables.difference_table(finished)
    assert "| cleaner | grpo | 2 | -10.0 % [-10.0, -10.0] |" in differences
    assert "| replace | grpo | 2 | 10.0 % [10.0, 10.0] |" in differences
    assert "| replace | cleaner | 2 | 20.0 % [20.0, 20.0] |" in differences
    assert "| grpo | 2 | 5 to 5 | 65.0 % [" in tables.end_table(finished)


def test_a_finished_run_is_not_made_again(finished: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.subprocess, "Popen", lambda *a, **k: pytest.fail("a run was started"))
    assert list(runner.Runner(1).run_all(finished[:1])) == ["grpo-seed0: there already"]


def test_the_csv_is_what_the_comparison_page_reads(finished: list[Job]) -> None:
    with finished[0].csv.open() as file:
        rows = list(csv.DictReader(file))
    assert {r["run"] for r in rows} == {"grpo-seed0"}
    assert rows[0]["generated_tokens_cum"] == "0" and rows[-1]["generated_tokens_cum"] == "1000"
