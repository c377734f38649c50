"""Which commands a run of figure 5 still needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe.contextrl.figure5.arms import BY_NAME
from recipe.contextrl.figure5.runs import Figure5Job


def programs(job: Figure5Job) -> list[str]:
    return [command[2] for command in job.commands()]


def test_a_run_that_was_killed_behind_its_last_checkpoint_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The trainer makes up for what comes after the checkpoint: a policy that loads anywhere, the report."""
    monkeypatch.chdir(tmp_path)
    job = Figure5Job(BY_NAME["da-sft"], seed=0, steps=40)
    everything = ["cleartrace_verl.sft", "cleartrace_verl.main", "cleartrace.cli"]
    assert programs(job) == everything
    mark = job.run_dir / "checkpoints/latest_checkpointed_iteration.txt"
    mark.parent.mkdir(parents=True)
    mark.write_text("40")
    assert programs(job) == everything
    (job.run_dir / "report.html").touch()
    assert programs(job) == ["cleartrace.cli"]


def test_the_report_of_a_shorter_run_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    job = Figure5Job(BY_NAME["rl"], seed=0, steps=40)
    job.run_dir.mkdir(parents=True)
    (job.run_dir / "report.html").touch()
    assert programs(job) == ["cleartrace_verl.main", "cleartrace.cli"]
