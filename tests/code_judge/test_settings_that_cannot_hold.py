"""What the operator asks for and cannot be had is said at the start, in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from code_judge.embedded import EmbeddedJudge
from code_judge.sync_client import SyncJudgeClient


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PYTHON_EXECUTOR_PATH": "/nowhere/python3"}, "PYTHON_EXECUTOR_PATH: /nowhere/python3 cannot run programs"),
        ({"PYTHON_EXECUTE_COMMAND": "/nowhere/run {source}"}, "the command for python does not run a program"),
        ({"CODE_JUDGE_MIN_ISOLATION": "L3", "CODE_JUDGE_MAX_ISOLATION": "L1"}, "isolation L3 does not hold"),
    ],
)
def test_serve_ends_and_says_why(environment: dict[str, str], said: str) -> None:
    command = [sys.executable, "-m", "code_judge", "serve", "--port", "0", "--workers", "1"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "the workers refused to start; their messages say why" in done.stderr
    assert "Traceback" not in done.stderr.rpartition(said)[2]


def test_a_compiler_that_runs_cannot_reach_gives_no_verdict(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ here")
    hidden = tmp_path / "compiler"
    hidden.write_text(f'#!/bin/sh\nexec {compiler} "$@"\n')
    hidden.chmod(0o755)
    with (
        EmbeddedJudge(tmp_path, workers=1, environment={"CPP_COMPILER_PATH": str(hidden)}) as judge,
        SyncJudgeClient(judge.url, judge.token) as client,
    ):
        result = client.run("int main() {}", language="cpp")
        assert client.run("print(1)").stdout == "1\n"
    assert result.outcome.value == "rejected" and "does not work inside the sandbox" in result.detail
