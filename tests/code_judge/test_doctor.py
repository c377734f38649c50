"""`code-judge doctor` against this machine, and against settings that cannot hold."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from code_judge.cli import app


def doctor(monkeypatch: pytest.MonkeyPatch, **environment: str) -> tuple[int, str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["doctor"])
    return done.exit_code, done.output


def test_it_says_what_the_service_says(judge, http, monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = doctor(monkeypatch)
    level = http.get("/status").json()["level"]
    assert status == 0, said
    assert f"runs get {level}; the least that is accepted is L1" in said
    assert f"ok  {level}: {level}-" in said and "ok  queue" in said


def test_too_little_isolation_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = doctor(monkeypatch, CODE_JUDGE_MAX_ISOLATION="L1", CODE_JUDGE_MIN_ISOLATION="L3")
    assert status == 1 and "no  isolation: runs get L" in said


def test_an_interpreter_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = doctor(monkeypatch, PYTHON_EXECUTOR_PATH="/nowhere/python3")
    assert status == 1 and "no  Python: /nowhere/python3 cannot run programs" in said


def test_a_missing_compiler_is_only_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = doctor(monkeypatch, CPP_COMPILER_PATH="no-such-compiler")
    assert status == 0 and "no-such-compiler is not there" in said
