"""The command line: what is refused before anything is loaded, and that no secret is an argument."""

from __future__ import annotations

import inspect
import json
import os
from typing import Any

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.evaluate import cli
from cleartrace.evaluate.settings import EvalSettings, PassrateSettings, RunSettings, ServeSettings

DATA = ["--data", "a.parquet", "--out", "runs/eval/x"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process would have been replaced by."""
    calls: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda path, words: calls.append(words))
    return calls


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either --model DIR or --endpoint URL"),
        (["--model", "m", "--endpoint", "http://x"], "give either --model DIR or --endpoint URL"),
        (["--endpoint", "http://x"], "--endpoint needs --tokenizer DIR"),
        (["--model", "m", "--n", "0"], "n: Input should be greater than or equal to 1"),
        (["--model", "m", "--top-p", "1.5"], "top_p: Input should be less than or equal to 1"),
    ],
)
def test_bad_options_are_refused(started: list[Any], words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["eval", *DATA, *words])
    assert done.exit_code == 2 and message in done.output and started == []


def test_eval_options_arrive(started: list[Any]) -> None:
    words = ["--model", "m", "--n", "4", "--rollback", "on", "--judge-url", "http://j", "--max-turns", "3"]
    done = CliRunner().invoke(app, ["eval", *DATA, *words, "--data", "b.parquet", "data.seed=3"])
    assert done.exit_code == 0, done.output
    assert started[0][1:4] == ["-m", "cleartrace_verl.offline", "eval"]
    settings = EvalSettings.model_validate_json(started[0][4])
    assert (settings.n, settings.arms, settings.judge.url, settings.max_turns) == (4, ("on",), "http://j", 3)
    assert [str(path) for path in settings.data] == ["a.parquet", "b.parquet"]
    assert settings.overrides == ("data.seed=3",)


def test_passrate_and_serve_options_arrive(started: list[Any], tmp_path: Any) -> None:
    words = ["--endpoint", "http://x", "--tokenizer", "t", "--patience", "5"]
    CliRunner().invoke(app, ["passrate", *DATA, *words])
    settings = PassrateSettings.model_validate_json(started[0][4])
    assert (settings.n, settings.policy.patience_s, settings.policy.endpoint) == (8, 5.0, "http://x")
    CliRunner().invoke(app, ["serve", "--model", str(tmp_path), "--port", "0"])
    assert ServeSettings.model_validate_json(started[1][4]).port == 0


def test_both_arms_are_the_default() -> None:
    """D20: a number without its other arm has to be asked for."""
    policy = {"model": "m"}
    assert EvalSettings.model_validate({"data": ["a"], "out": "o", "n": 1, "policy": policy}).arms == ("off", "on")


def test_a_key_is_named_by_its_variable_and_never_given(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    words = ["--endpoint", "http://x", "--tokenizer", "t", "--api-key-env", "MY_KEY"]
    CliRunner().invoke(app, ["eval", *DATA, *words])
    assert "s3cret" not in json.dumps(started) and "MY_KEY" in json.dumps(started)


def test_eval_and_passrate_have_the_same_run_options() -> None:
    """The option lists are written twice, because a command line is read from a signature."""
    ours, theirs = (inspect.signature(command).parameters for command in (cli.evaluate, cli.passrate))
    assert set(ours) - set(theirs) == {"rollback", "trajectories"} and not set(theirs) - set(ours)
    shared = set(theirs) - {"n"}
    assert all(ours[name].default == theirs[name].default for name in shared)


def test_every_setting_of_a_run_has_an_option() -> None:
    given = {name: None for name in inspect.signature(cli.passrate).parameters}
    given |= {"data": ["a"], "out": "o", "model": "m", "n": 1, "concurrency": 1, "seed": 0, "infra_retries": 0}
    given |= {"retry_lost": False, "prompt_as": "ids", "api_key_env": "K", "patience": 1.0, "request_timeout": 1.0}
    given |= {"device": "cpu", "dtype": "auto", "judge_workers": 1, "judge_time_limit": 1}
    assert set(cli._run_settings(given)) == set(RunSettings.model_fields)
