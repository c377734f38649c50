"""Each setting of `cleartrace optimize` changes what a run asks its models, or how it runs (R18)."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.loopback import Loopback
from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.workplace import AgentSettings
from cleartrace.context.playbook.files import save
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.context.providers import Empty
from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.episodes.store import EpisodeStore
from cleartrace.learn.rcl.command import Order, run_order
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.run_config import RunConfig, make_config
from cleartrace.learn.rcl.simulated import simulated_parts
from cleartrace.learn.shell.settings import ShellSettings
from tests.agents.test_workplace import Slow
from tests.learn.rcl.test_cli import Served

WORLD = {"options": {"scenarios": [4, 1, 1], "rules": 8, "tasks_each": 3}}
STATE = {"use_optimization_state": True}
SUMMED = {"summarize_traces": True}

# field -> (settings of both runs, what the second has besides); URL and FOLDER stand for where the test is
EFFECTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "thinking_level": ({}, {"thinking_level": "high"}),
    "reflector_model": ({}, {"reflector_model": "openai/other@URL"}),
    "mutator_model": ({}, {"mutator_model": "openai/other@URL"}),
    "optimization_state_model": (STATE, {"optimization_state_model": "openai/other@URL"}),
    "trace_summarizer_model": (SUMMED, {"trace_summarizer_model": "openai/other@URL"}),
    "omit_mutator_traces": ({}, {"omit_mutator_traces": True}),
    "summarize_traces": ({}, SUMMED),
    "split": ({}, {"split": "test"}),
    "val_split": ({"skip_validation": False}, {"val_split": "test"}),
    "train_pool": ({}, {"train_pool": "FOLDER/pool.txt"}),
    "seed_playbook": ({}, {"seed_playbook": "FOLDER/seed.json"}),
    "max_seconds": ({}, {"max_seconds": 1e-6}),
}
ELSEWHERE = {
    **dict.fromkeys(RclConfig.model_fields, "test_effects"),
    **dict.fromkeys(AgentSettings.model_fields, "tests/agents/test_workplace, and test_cli for budgets"),
    **dict.fromkeys(ShellSettings.model_fields, "tests/learn/reflect/test_shell"),
    "reflector_reads": "test_cli",
}


def what_was_asked(folder: Path, settings: dict[str, Any]) -> list[Any]:
    """Bodies of all requests of one iteration, in order."""
    base = {"environment": "ruleworld", "environment_options": WORLD, "iterations": 1, "batch_size": 2}
    with Loopback(Served()) as server:
        texts = {"URL": f"{server.url}/v1", "FOLDER": str(folder)}
        given = {**base, "model": "openai/m@URL", "max_workers": 1, "skip_validation": True, **settings}
        for mark, text in texts.items():
            given = {
                name: value.replace(mark, text) if isinstance(value, str) else value for name, value in given.items()
            }
        out = folder / f"run{len(list(folder.glob('run*')))}"
        asyncio.run(run_order(Order({}, output=out), make_config(given), Console(file=io.StringIO())))
    return [asked.body for asked in server.asked]


@pytest.mark.parametrize("field", EFFECTS)
def test_r18_each_setting_changes_what_models_are_asked(tmp_path: Path, field: str) -> None:
    last = RuleWorld(**WORLD).tasks("train")[-1]
    (tmp_path / "pool.txt").write_text(f"{last.id}\n")
    save(Playbook(entries=(Entry(id="e1", section="rules", text="Weigh twice."),), next_id=2), tmp_path / "seed.json")
    both, more = EFFECTS[field]
    assert what_was_asked(tmp_path, {**both, **more}) != what_was_asked(tmp_path, both)


def test_equal_settings_ask_the_same(tmp_path: Path) -> None:
    both = {**STATE, "skip_validation": False}
    assert what_was_asked(tmp_path, both) == what_was_asked(tmp_path, both)


def test_r18_no_setting_of_a_run_is_left_out() -> None:
    assert set(RunConfig.model_fields) <= {*EFFECTS, *ELSEWHERE}


def test_r18_a_limit_of_time_holds_for_the_simulated_agent(tmp_path: Path) -> None:
    config = make_config({"environment": "ruleworld", "iterations": 1, "task_timeout": 1e-6})
    asyncio.run(run_order(Order({}, output=tmp_path), config, Console(file=io.StringIO())))
    assert {row.failure for row in EpisodeStore(tmp_path / "episodes", create=False).find()} == {"time_limit"}


def test_r18_no_more_simulated_runs_at_once_than_workers() -> None:
    world = RuleWorld(**WORLD)
    runner = simulated_parts(world, RclConfig(), concurrency=2).runner
    runner.agent = agent = Slow()  # type: ignore[attr-defined]
    asyncio.run(runner.run([RunRequest(task, 1, Empty()) for task in world.tasks("train")[:6]]))
    assert agent.most == 2
