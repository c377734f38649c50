"""`cleartrace baseline` on the rule world."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.loopback import Answer, Asked, Loopback
from cleartrace.cli import app
from cleartrace.context.playbook.files import load


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["baseline", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.mark.parametrize("method", ["ace", "best-of-n"])
def test_a_playbook_is_learned_and_the_same_command_makes_no_run_twice(tmp_path: Path, method: str) -> None:
    out = tmp_path / "out"
    few = ["--n", 2] if method == "best-of-n" else []
    arguments = [method, "ruleworld", "--output", out, *few, "--environment-options", "seed=1"]
    status, said = run(*arguments)
    assert status == 0, said
    result = json.loads((out / "result.json").read_text())
    assert result["method"] == method and result["entries"] == len(load(out / "playbook.json")) > 0
    spent = {row["role"]: row for row in result["spent"]}
    assert list(spent) == ["agent", "total"] and spent["agent"]["calls"] == len(list(out.rglob("outcome.json")))
    assert spent["agent"]["input_tokens"] > spent["agent"]["output_tokens"] > 0 and spent["total"]["cost"] is None
    stamps = {path: path.stat().st_mtime_ns for path in (out / "episodes").rglob("outcome.json")}
    before = (out / "playbook.json").read_bytes()
    assert run(*arguments)[0] == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in (out / "episodes").rglob("outcome.json")}
    assert (out / "playbook.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ace", "tau2"], "needs a model"),
        (["gepa", "ruleworld"], "name one with --reflector-model"),
        (["cheatsheet", "ruleworld"], "name one with --reflector-model"),
        (["cheatsheet", "ruleworld", "--val-split", "val"], "val_split: no effect on cheatsheet"),
        (["ace", "ruleworld", "--split", "tran"], "no split 'tran'"),
        (["best-of-n", "ruleworld", "--val-split", "v"], "no split 'v'"),
        (["ace", "ruleworld", "--n", "8"], "n: no effect on ace; best-of-n reads it"),
        (["gepa", "ruleworld", "--batch-size", "2"], "batch_size: no effect on gepa; best-of-n reads it"),
        (["best-of-n", "ruleworld", "--runs", "7"], "runs: no effect on best-of-n; gepa reads it"),
        (["ace", "ruleworld", "--reflector-model", "openai/m"], "reflector_model: no effect on ruleworld without"),
        (["ace", "ruleworld", "--prices", "prices.yaml"], "prices: no effect where no model is named"),
        (["ace", "ruleworld", "--call-style", "text"], "call_style: no effect on ruleworld without a model"),
        (["best-of-n", "ruleworld", "--val-split", "train"], "not on train again"),
        (["best-of-n", "ruleworld", "--split", "val"], "name a split that has some with --val-split"),
    ],
)
def test_what_cannot_be_run_is_said(tmp_path: Path, arguments: list[str], words: str) -> None:
    status, said = run(*arguments, "--output", tmp_path / "out")
    assert status == 2 and words in said.replace("\n", " ")


def curator(asked: Asked) -> Answer:
    """Carries the cheatsheet over and adds a line, another for each task."""
    [old, task] = asked.body["messages"][-1]["content"].split("</cheatsheet>")
    lines = [line for line in old.splitlines() if line.startswith("Order ")]
    number = re.findall(r"Order \d+", task)[0]
    said = "\n".join(["<cheatsheet>", *lines, f"{number} was sorted.", "</cheatsheet>"])
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    return Answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})


def test_a_cheatsheet_is_stopped_by_its_budget_and_goes_on_without_paying_twice(tmp_path: Path) -> None:
    options = "options={scenarios: [4, 1, 1], rules: 8, tasks_each: 3}"
    with Loopback(curator) as server:
        common = ["cheatsheet", "ruleworld", "--environment-options", options]
        common += ["--reflector-model", f"openai/m@{server.url}/v1"]
        assert run(*common, "--output", tmp_path / "whole")[0] == 0
        unbroken = len(server.asked)
        out = tmp_path / "out"
        status, said = run(*common, "--output", out, "--max-calls", 7)
        assert status == 3 and "calls of all roles: 7 of 7" in said and not (out / "context.md").exists()
        for _ in range(2):
            status, said = run(*common, "--output", out, "--max-calls", 100)
            assert status == 0, said
        assert unbroken == 12 and len(server.asked) == 2 * unbroken
    memory = (out / "context.md").read_text()
    assert memory == (tmp_path / "whole" / "context.md").read_text() and len(memory.splitlines()) == 12
    result = json.loads((out / "result.json").read_text())
    assert result["method"] == "cheatsheet" and result["tasks"] == 12 == len(result["steps"])
    assert result["interval"][0] <= result["score"] <= result["interval"][1] and result["without_score"] == 0
    assert {row["role"]: row["calls"] for row in result["spent"]} == {"agent": 12, "mutator": 12, "total": 24}


def test_a_budget_holds_over_all_starts(tmp_path: Path) -> None:
    for _ in range(2):
        status, said = run("best-of-n", "ruleworld", "--output", tmp_path, "--max-calls", 5)
        assert status == 3 and "calls of all roles: 5 of 5" in said
        assert len(list((tmp_path / "episodes").rglob("outcome.json"))) == 5
