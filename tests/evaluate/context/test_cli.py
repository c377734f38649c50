"""`cleartrace context` on the rule world: real runs, resumed and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.loopback import Answer, Loopback
from cleartrace.cli import app
from cleartrace.episodes.types import Task
from cleartrace.evaluate.context.run import Plan, names, whole_scenarios

ADVICE = "Items above 25 kg with the mark K go to desk D."


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["context", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.fixture
def advice(tmp_path: Path) -> Path:
    path = tmp_path / "advice.md"
    path.write_text(ADVICE)
    return path


def test_arms_are_run_compared_and_written(tmp_path: Path, advice: Path) -> None:
    out = tmp_path / "out"
    arguments = ["eval", "ruleworld", "--context", "none", "--context", f"static:{advice}", "--runs", 2, "--out", out]
    status, said = run(*arguments)
    assert status == 0, said
    data = json.loads((out / "comparison.json").read_text())
    assert [arm["name"] for arm in data["arms"]] == ["none", "static-advice"]
    assert data["arms"][0]["runs"] == data["arms"][0]["tasks"] * 2 == data["paired"][0]["pairs"]
    assert "Paired differences" in said and (out / "comparison.html").stat().st_size > 5000
    stored = {path: path.stat().st_mtime_ns for path in (out / "episodes").rglob("trajectory.jsonl")}
    assert run(*arguments)[0] == 0
    assert stored == {path: path.stat().st_mtime_ns for path in (out / "episodes").rglob("trajectory.jsonl")}
    assert json.loads((out / "comparison.json").read_text()) == data


def test_arms_of_two_evaluations_are_compared_when_they_are_alike(tmp_path: Path, advice: Path) -> None:
    for name, context, runs in (("a", "none", 2), ("b", f"static:{advice}", 2), ("c", f"static:{advice}", 3)):
        assert run("eval", "ruleworld", "--context", context, "--runs", runs, "--out", tmp_path / name)[0] == 0
    one, other, unlike = tmp_path / "a" / "none", tmp_path / "b" / "static-advice", tmp_path / "c" / "static-advice"
    status, said = run("compare", one, other, "--out", tmp_path / "d")
    assert status == 0 and "static-advice - none" in said
    status, said = run("compare", one, unlike, "--out", tmp_path / "d")
    assert status == 2 and "differ in seeds" in said
    status, said = run("compare", one, unlike, "--force", "--out", tmp_path / "d")
    assert status == 0 and "unlike: seeds" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "--context", "none"], "needs a model"),
        (["ruleworld", "--context", "nope:x"], "no context provider"),
        (
            ["ruleworld", "--context", "none", "--split", "tset"],
            "there is no split 'tset'; there are: test, train, val",
        ),
        (["ruleworld", "--context", "none", "--environment-options", "sed=3"], "sed"),
        (["ruleworld", "--context", "none", "--environment-options", "seed"], "name=value"),
        (["ruleworld", "--context", "none", "--max-cost", "3"], "without prices"),
        (["ruleworld", "--context", "static:missing.md"], "missing.md"),
        (["ruleworld", "--context", "none", "--context", "playbook:missing.json"], "missing.json"),
        (
            ["ruleworld", "--context", "none", "--temperature", "0.7", "--max-steps", "1"],
            "temperature, max_steps: no effect on ruleworld without a model",
        ),
        (["ruleworld", "--context", "none", "--prices", "prices.yaml"], "prices: no effect where no model is named"),
    ],
)
def test_what_cannot_be_run_is_said(tmp_path: Path, arguments: list[str], words: str) -> None:
    status, said = run("eval", *arguments, "--out", tmp_path / "out")
    assert status == 2 and words in said.replace("\n", " ")
    assert not list((tmp_path / "out").rglob("trajectory.jsonl")), "it is said before the first run"


@pytest.mark.parametrize(("limit", "runs"), [("--max-calls", 3), ("--max-tokens", 1)])
def test_a_budget_holds_over_all_starts_and_for_the_simulated_agent(tmp_path: Path, limit: str, runs: int) -> None:
    arguments = ["eval", "ruleworld", "--context", "none", "--runs", 1, "--out", tmp_path / "out"]
    for _ in range(3):
        status, said = run(*arguments, limit, 3)
        assert status == 3 and "the budget is used up" in said
        assert len(list((tmp_path / "out" / "episodes").rglob("trajectory.jsonl"))) == runs
    assert run(*arguments, limit, 0)[0] == 0


def served(asked: object) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": "D0"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    return Answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})


def test_r30_a_comparison_says_what_each_role_took_and_no_part_of_a_cost_for_the_whole(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("openai/m: {input: 1, output: 2}")
    with Loopback(served) as server:
        arguments = ["--model", f"openai/m@{server.url}/v1", "--context", f"model:openai/c@{server.url}/v1"]
        arguments += ["--context", "none", "--runs", 1, "--limit", 1, "--prices", prices]
        status, said = run("eval", "ruleworld", *arguments, "--out", tmp_path / "out")
    assert status == 0, said
    data = json.loads((tmp_path / "out" / "comparison.json").read_text())
    runs = data["arms"][0]["runs"]
    rows = {row["role"]: row for row in data["spent"]}
    assert list(rows) == ["agent", "context", "total"]
    assert [row["calls"] for row in rows.values()] == [2 * runs, runs, 3 * runs] and len(server.asked) == 3 * runs
    assert rows["total"]["input_tokens"] == 30 * runs and rows["context"]["output_tokens"] == 2 * runs
    assert rows["agent"]["cost"] == pytest.approx(2 * runs * 14e-6) and rows["agent"]["seconds"] > 0
    assert rows["context"]["cost"] is None and rows["total"]["cost"] is None
    assert [arm["cost"]["dollars"] for arm in data["arms"]] == [None, pytest.approx(14e-6)]
    arms = [tmp_path / "out" / arm["name"] for arm in data["arms"]]
    assert run("compare", *arms, "--out", tmp_path / "again")[0] == 0
    assert json.loads((tmp_path / "again" / "comparison.json").read_text())["spent"] == data["spent"]


def test_a_budget_holds_over_all_starts_of_a_served_model(tmp_path: Path) -> None:
    with Loopback(served) as server:
        model = ["--model", f"openai/m@{server.url}/v1", "--max-workers", 1]
        for _ in range(3):
            status, said = run("eval", "ruleworld", "--context", "none", *model, "--max-calls", 2, "--out", tmp_path)
            assert status == 3 and "calls of all roles: 2 of 2" in said
    assert len(server.asked) == 2


def test_an_unfinished_arm_is_not_compared(tmp_path: Path) -> None:
    assert run("eval", "ruleworld", "--context", "none", "--out", tmp_path / "a")[0] == 0
    (tmp_path / "a" / "none" / "runs.json").unlink()
    status, said = run("compare", tmp_path / "a" / "none", "--out", tmp_path / "d")
    assert status == 2 and "was not finished" in said


def test_a_limit_takes_whole_scenarios() -> None:
    tasks = [Task(environment="w", id=f"t{n}", input="", group=f"s{n % 3}") for n in range(9)]
    assert [task.id for task in whole_scenarios(tasks, 4)] == ["t0", "t1", "t3", "t4", "t6", "t7"]
    assert whole_scenarios(tasks, None) == tasks


def test_more_passes_begin_with_the_seeds_of_fewer() -> None:
    assert Plan(("none",), runs=5).seeds[:3] == Plan(("none",), runs=3).seeds
    assert Plan(("none",), seed=1).seeds != Plan(("none",)).seeds


def test_every_arm_has_a_name_of_its_own() -> None:
    specs = [
        "none",
        "rag:rows.jsonl?k=3",
        "rag:b/rows.jsonl",
        "model:openai/qwen@http://127.0.0.1:1/v1",
        "rag:rows.jsonl",
    ]
    found = names(specs)
    assert len(set(found)) == 5 and found[:3] == ["none", "rag-rows", "rag-rows-2"] and "/" not in "".join(found)
