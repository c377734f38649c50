"""`+ abstain:FILE`, and the files it reads as `cleartrace context abstention` writes them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.context.providers import Abstaining, Hybrid, provider_from_spec
from cleartrace.data.errors import DataError
from cleartrace.episodes.types import Task
from cleartrace.evaluate.context.abstention import effects, pass_rates, write_effects, write_rates
from cleartrace.llm.scripted import Scripted
from tests.evaluate.context.make_arm import arm

TEXTS = {"a": "Pay the monthly bill", "b": "Pay the yearly bill", "c": "Sort old messages"}
TASKS = [Task(environment="world", id=id, input=text) for id, text in TEXTS.items()]
WITHOUT = {"a": [0.0, 0.0], "b": [0.0, 1.0], "c": [1.0, 1.0]}
WITH = {"a": [1.0, 1.0], "b": [1.0, 1.0], "c": [0.0, 1.0]}


def said(spec: str, *tasks: Task) -> list[str]:
    provider = provider_from_spec(spec, connect=lambda name: Scripted(lambda request: "Check the date."))

    async def ask() -> list[str]:
        return [(await provider.context_for(task, 0)).text for task in tasks]

    return asyncio.run(ask())


def test_a_model_abstains_where_context_did_not_help_on_similar_tasks(tmp_path: Path):
    path = tmp_path / "effects.jsonl"
    assert write_effects(arm(WITHOUT, name="none"), arm(WITH, name="cam"), TASKS, path) == 3
    means = {
        json.loads(line)["task"]["id"]: json.loads(line)["effect"]["mean"] for line in path.read_text().splitlines()
    }
    assert means == {"a": 1.0, "b": 0.5, "c": -0.5}
    new = [
        Task(environment="world", id=text, input=text) for text in ("Pay the weekly bill", "Sort new messages", "Hm")
    ]
    assert said(f"model:openai/cam + abstain:{path}?neighbours=1", *new) == ["Check the date.", "", "Check the date."]
    assert said(f"model:openai/cam + abstain:{path}?neighbours=1&least=1", *new) == ["", "", "Check the date."]


def test_hybrids_and_single_providers_abstain_on_tasks_that_are_solved_without(tmp_path: Path):
    rates, rows = tmp_path / "rates.json", tmp_path / "rows.jsonl"
    assert write_rates(arm(WITHOUT, name="none"), rates) == 3
    assert json.loads(rates.read_text()) == {"a": 0.0, "b": 0.5, "c": 1.0}
    rows.write_text('{"key": "Pay the bill", "text": "Look twice."}\n')
    hybrid = provider_from_spec(f"rag:{rows} + model:openai/cam + abstain:{rates}", connect=lambda name: Scripted([]))
    assert isinstance(hybrid, Abstaining) and isinstance(hybrid.provider, Hybrid)
    first, second, third = said(f"rag:{rows} + model:openai/cam + abstain:{rates}", *TASKS)
    assert "Look twice." in first and first.endswith("Check the date.") and second == first and third == ""
    assert [bool(text) for text in said(f"rag:{rows} + abstain:{rates}?at_least=0.5", *TASKS)] == [True, False, False]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("abstain:rates.json", "before it stands the provider"),
        ("none + abstain:rates.csv", "say abstain:FILE"),
        ("none + abstain:rates.json?least=1", "no option 'least'; the nearest is at_least"),
        ("none + abstain:rates.json?at_least=much", "a number is needed"),
        ("none + abstain:missing.json", "cleartrace context abstention"),
        ("none + abstain:bad.json", "task ids with their rates"),
        ("none + abstain:bad.jsonl", "line 1: no measured effect"),
        ("none + abstain:empty.jsonl", "no measured effect"),
        ("none + none", "or last abstain:FILE"),
    ],
)
def test_what_is_wrong_is_said(spec: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    files = {"rates.json": "{}", "bad.json": '{"a": 2}', "bad.jsonl": '{"task": 3}\n', "empty.jsonl": ""}
    for name, text in files.items():
        Path(name).write_text(text)
    with pytest.raises(ValueError, match=words):
        provider_from_spec(spec)


def test_arms_that_differ_in_more_than_context_give_no_effects():
    with pytest.raises(DataError, match="differs from none in agent"):
        effects(arm(WITHOUT, name="none"), arm(WITH, name="cam", agent="b"), TASKS)
    assert pass_rates(arm({"a": [None, 1.0]}, name="none")) == {"a": 1.0}, "a missing run is no failure"


def test_a34_from_an_evaluation_to_an_abstaining_provider(tmp_path: Path):
    """Both commands of the documentation, on the simulated agent."""
    advice = tmp_path / "advice.txt"
    advice.write_text("Work with care.")
    run = CliRunner().invoke
    measured = run(
        app,
        [
            "context",
            "eval",
            "ruleworld",
            "--context",
            "none",
            "--context",
            f"static:{advice}",
            "--split",
            "train",
            "--limit",
            "4",
            "--runs",
            "2",
            "--out",
            str(tmp_path / "eval"),
        ],
    )
    assert measured.exit_code == 0, measured.output
    arms = [str(tmp_path / "eval" / name) for name in ("none", "static-advice")]
    done = run(app, ["context", "abstention", *arms, "--out", str(tmp_path / "effects.jsonl")])
    assert done.exit_code == 0 and isinstance(
        provider_from_spec(f"none + abstain:{tmp_path}/effects.jsonl"), Abstaining
    )
    assert run(app, ["context", "abstention", arms[0], "--out", str(tmp_path / "rates.json")]).exit_code == 0
    refused = run(app, ["context", "abstention", arms[0], "--out", str(tmp_path / "rates.jsonl")])
    assert refused.exit_code == 2 and ".json file" in refused.output
