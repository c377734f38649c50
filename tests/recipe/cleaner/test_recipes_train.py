"""The recipes for GPUs, trained for two steps in miniature: the real trainer, engine and judge. `-m slow`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


def train(script: str, run_dir: Path, *overrides: str) -> list[dict[str, Any]]:
    """Metrics of the two steps of `overlay=tiny`."""
    done = subprocess.run(
        ["bash", str(ROOT / f"recipe/cleaner/{script}.sh"), f"cleartrace.run_dir={run_dir}", *overrides],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    log = run_dir / "train.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-3000:] if log.exists() else "")
    rows = [json.loads(line)["data"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [data for data in rows if "timing_s/step" in data]
    assert len(steps) == 2
    assert (run_dir / "report.html").exists()
    return steps


def trajectories(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "trajectories.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_cleaner_trains_in_miniature(tmp_path):
    steps = train("qwen3_4b_cleaner", tmp_path / "run", "overlay=tiny")
    assert sum(data["rollback/global_triggered"] for data in steps) > 0
    assert all(data["cleartrace/lost_trajectories"] == 0 for data in steps)
    # The sampler's log-probs are kept, so that the gap of spliced tokens is measured (D1).
    assert any("rollback/gap_mean" in data for data in steps)


@pytest.mark.slow
def test_the_corrected_ablation_trains_in_miniature(tmp_path):
    steps = train("qwen3_4b_cleaner_corrected", tmp_path / "run", "overlay=tiny")
    assert any("rollback/is_weight_mean" in data for data in steps)


@pytest.mark.slow
def test_the_recipe_without_a_tool_trains_in_miniature(tmp_path):
    steps = train("qwen3_4b_notool", tmp_path / "run", "overlay=tiny")
    assert all(data["rollback/global_triggered"] == 0 for data in steps)
    rows = [row for row in trajectories(tmp_path / "run") if row["split"] == "train"]
    assert len(rows) == 2 * 4 * 4
    assert not any(row["tool_calls"] for row in rows)
    assert all(sum(s["kind"].startswith("assistant") for s in row["segments"]) == 1 for row in rows)


@pytest.mark.slow
def test_dynamic_sampling_trains_on_mixed_groups_alone(tmp_path):
    train("qwen3_4b", tmp_path / "run", "overlay=[tiny,dynamic_sampling]")
    groups: dict[tuple[int, str], set[bool]] = {}
    for row in trajectories(tmp_path / "run"):
        if row["split"] == "train":
            groups.setdefault((row["step"], row["sample_id"]), set()).add(row["acc"])
    assert groups
    assert all(graded == {True, False} for graded in groups.values())
