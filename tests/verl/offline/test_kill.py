"""A process that dies without a word leaves whole lines, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cleartrace.evaluate.settings import EvalSettings
from cleartrace.evaluate.store import read_outcomes
from tests.verl.offline.conftest import small_run

pytestmark = pytest.mark.slow  # two starts of a process that imports torch and veRL


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_killed_evaluation_loses_only_the_rollouts_in_flight(data: Path, judge_url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = EvalSettings.model_validate({**small_run(data, judge_url, out), "n": 20, "concurrency": 2})
    command = [sys.executable, "-m", "cleartrace_verl.offline", "eval", settings.model_dump_json()]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    while lines_in(out / "rollouts.jsonl") < 5 and first.poll() is None:
        time.sleep(0.02)
    assert first.poll() is None, "the process ended before it could be killed"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    kept = {row.key: row for row in read_outcomes(out / "rollouts.jsonl")}
    assert 5 <= len(kept) < 120
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"120 rollouts, {len(kept)} of them are done" in again.stdout
    rows = list(read_outcomes(out / "rollouts.jsonl"))
    assert len(rows) == len({row.key for row in rows}) == 120
    assert all(row == kept[row.key] for row in rows if row.key in kept)
