"""The trainer's side of CLEAR's reward: what a row earns, what is masked, what is counted."""

from __future__ import annotations

import asyncio
import json

import pytest
from omegaconf import OmegaConf

from cleartrace.agents.workplace import AgentConfig
from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.learn.clear import export
from cleartrace.learn.clear.reward.client import ServiceMissing
from cleartrace.learn.clear.reward.names import TOKEN_VARIABLE, URL_VARIABLE
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.server import ServeOptions, serving
from cleartrace_verl.guidance import SOURCE, guidance_metrics, problems
from cleartrace_verl.reward import compute_score
from cleartrace_verl.step_rules import is_spoiled, score_metrics

WORLD = RuleWorld().world
ORDER = next(one for one in WORLD.orders("train") if one.needs and WORLD.success(one.task, "") < 0.1)
RULES = "\n".join(rule.text for rule in ORDER.needs)


def grade(text: str, step: int | None = 1, **options: object) -> dict:
    info = {"split": "train", "question_id": "q"}
    if step is not None:
        info["trajectory"] = json.dumps({"step": step})
    options = {"graded_text": "response", **options}
    return asyncio.run(compute_score(SOURCE, text, ORDER.task.canonical(), info, **options))


@pytest.fixture
def service(tmp_path):
    rules = RewardRules(runs=6, subtract_baseline=True, token_cost=0.001)
    with serving(AgentConfig.checked({"environment": "ruleworld"}), rules, ServeOptions(tmp_path)):
        yield


def test_rows_of_the_export_are_those_of_the_hook():
    assert SOURCE == export.DATA_SOURCE


def test_guidance_is_rewarded_by_the_agent_and_its_figures_become_metrics(service):
    rows = [grade(text) for text in (RULES, "NONE", "Work with care.", RULES)]
    assert rows[0]["score"] > 0.3 > rows[2]["score"] and rows[1]["score"] == 0.0
    assert [row["guidance_abstained"] for row in rows] == [0.0, 1.0, 0.0, 0.0]
    assert rows[0]["pred"] == RULES and rows[3]["guidance_hits"] == rows[3]["guidance_runs"] == 12
    assert {frozenset(row) for row in rows} == {frozenset(rows[0])}, "veRL reads all rows by the keys of the first"
    metrics = guidance_metrics(rows)
    assert metrics["cleartrace/guidance/abstained"] == 0.25 and metrics["cleartrace/guidance/ungraded"] == 0.0
    assert metrics["cleartrace/guidance/agent_score"] == pytest.approx(sum(r["guidance_agent_score"] for r in rows) / 4)
    assert metrics["cleartrace/guidance/baseline"] < 0.5 and metrics["cleartrace/guidance/tokens"] > 0
    assert metrics["cleartrace/guidance/cache_hits"] == pytest.approx((6 + 6 + 12) / (12 + 6 + 12 + 12))


def test_ungraded_guidance_is_masked_and_counted(monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    lost = grade(RULES, guidance_deadline_s=0.2)
    assert lost["ungraded"] and "service" in lost["error"] and is_spoiled({"reward_extra_info": lost})
    there = {**lost, "ungraded": False, "score": 1.0, "acc": True, "guidance_agent_score": 1.0}
    metrics = guidance_metrics([lost, there])
    assert metrics["cleartrace/guidance/ungraded"] == 1.0 and metrics["cleartrace/guidance/agent_score"] == 1.0
    assert score_metrics([there])["critic/score/acc"] == 1.0
    assert guidance_metrics([{"score": 1.0, "ungraded": False}]) == {}


def test_a_training_on_guidance_without_a_service_is_stopped_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    export.write_prompts(tmp_path / "prompts.parquet", [ORDER.task])
    config = OmegaConf.create({"data": {"train_files": [str(tmp_path / "prompts.parquet"), "missing.parquet"]}})
    assert "reward-serve" in next(problems(config))
    with pytest.raises(ServiceMissing):
        grade(RULES)
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    assert not list(problems(config))
