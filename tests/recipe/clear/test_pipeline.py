"""The miniature up to its weights: what each stage leaves, and that nothing is done twice."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cleartrace.data.files import read_json_lines
from cleartrace.environments.ruleworld import RuleWorld, rules_in
from cleartrace.episodes.store import EpisodeStore
from cleartrace.learn.clear.reward.options import RewardRules
from recipe.clear import evaluation, grpo, guidance_rows, results, tables, training
from recipe.clear.settings import NO_CONTRAST, TOKEN_COST, Seed

OPTIONS = {"rules": 3, "plain_marks": 1, "scenarios": [3, 1, 2], "tasks_each": 2}
ROOT = Path(__file__).resolve().parents[3]


def small(root: Path) -> Seed:
    return Seed(3, root=root, options=OPTIONS)


@pytest.fixture(scope="module")
def seed(tmp_path_factory) -> Seed:
    found = small(tmp_path_factory.mktemp("clear"))
    asyncio.run(guidance_rows.collect_and_reflect(found))
    guidance_rows.write_files(found)
    return found


def stored(seed: Seed) -> int:
    """Runs and reflections in the index files so far."""
    indexes = (seed.project().episodes / "index.jsonl", seed.project().reflections / "index.jsonl")
    return sum(len(path.read_bytes().splitlines()) for path in indexes if path.exists())


def contents(seed: Seed, name: str) -> list[dict]:
    """Rows but for the id of their reflection, which holds its seconds."""
    rows = (row for _, row in read_json_lines(seed.project(name).rows_file))
    return [{key: value for key, value in row.items() if key != "reflection"} for row in rows]


def counts(seed: Seed) -> tuple[int, int]:
    return len(EpisodeStore(seed.project().episodes)), len(EpisodeStore(seed.project().reflections))


def test_six_runs_of_each_task_become_rows_and_files(seed):
    tasks = seed.project().tasks()
    assert len(tasks) == 6 and counts(seed) == (36, 72)
    funnel = json.loads(seed.project().funnel_file.read_text())
    assert (funnel["possible"], funnel["subsets"], funnel["failed"]) == (120, 36, 0)
    files = json.loads((seed.folder / guidance_rows.DONE).read_text())
    assert files["contrast/train.parquet"] > 0 and files[f"{NO_CONTRAST}/held_out.parquet"] > 0
    assert files["prompts/train.parquet"] + files["prompts/held_out.parquet"] == 6
    assert training.sft_steps(seed, "") == max(5 * files["contrast/train.parquet"] // 4, 1)


def test_rows_state_rules_that_hold_for_the_items_of_their_task(seed):
    world = RuleWorld(**seed.world).world
    for _, row in read_json_lines(seed.project().train_file):
        order = world.order(row["task_id"])
        desks = {(item.mark, desk) for item, desk in zip(order.real, order.desks, strict=True)}
        for rule in rules_in(row["guidance"]):
            assert (rule.mark, rule.desk) in desks
            assert any(rule.fires(item) for item in order.real)


def test_the_same_command_makes_no_run_again(seed):
    before = {path: path.stat().st_mtime_ns for path in seed.project().episodes.rglob("outcome.json")}
    asyncio.run(guidance_rows.collect_and_reflect(seed))
    assert counts(seed) == (36, 72)
    assert {path: path.stat().st_mtime_ns for path in seed.project().episodes.rglob("outcome.json")} == before


def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(seed, tmp_path):
    """kill -9 while runs are collected, and while they are reflected on."""
    code = (
        "import asyncio; from pathlib import Path; from recipe.clear import guidance_rows as g; "
        f"from recipe.clear.settings import Seed; s = Seed(3, root=Path({str(tmp_path)!r}), options={OPTIONS!r}); "
        "asyncio.run(g.collect_and_reflect(s)); g.write_files(s)"
    )
    other = small(tmp_path)
    for wanted in (10, 60):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
        until = time.monotonic() + 60
        while stored(other) < wanted and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
    asyncio.run(guidance_rows.collect_and_reflect(other))
    guidance_rows.write_files(other)
    assert counts(other) == counts(seed)
    for name in ("", NO_CONTRAST):
        assert contents(other, name) == contents(seed, name)


def test_a_training_that_is_done_is_not_begun(seed, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(training, "_run", lambda command, folder: asked.append((command, folder)))
    training.train_sft(seed)
    training.train_grpo(seed)
    (sft, folder), (rl, _) = asked
    assert folder == seed.sft() and f"trainer.total_training_steps={training.sft_steps(seed, '')}" in sft
    assert f"actor_rollout_ref.model.path={training.sft_model(seed)}" in rl
    args, rest = grpo.parse(rl[rl.index("recipe.clear.grpo") + 1 :])
    assert args.environment == "ruleworld" and rest[:2] == ["--recipe", "recipe/clear"]
    assert grpo._values(args.agent) == {"environment_options": seed.world}, "rewarded in the world of the rows"
    (seed.grpo / "checkpoints").mkdir(parents=True)
    (seed.grpo / "checkpoints/latest_checkpointed_iteration.txt").write_text(str(seed.grpo_steps))
    training.train_grpo(seed)
    assert len(asked) == 3, "killed behind its last checkpoint: what comes after that is made up for"
    (seed.grpo / "report.html").touch()
    training.train_grpo(seed)
    assert len(asked) == 3


def test_charged_guidance_is_rewarded_less_its_length_in_a_folder_of_its_own(seed, monkeypatch):
    asked = []
    monkeypatch.setattr(training, "_run", lambda command, folder: asked.append((command, folder)))
    charged = dataclasses.replace(seed, charged=True)
    assert charged.folder != seed.folder
    monkeypatch.setattr(training, "sft_model", lambda seed: Path("model"))
    training.train_grpo(charged)
    ((command, folder),) = asked
    args, rest = grpo.parse(command[command.index("recipe.clear.grpo") + 1 :])
    rules = RewardRules.model_validate(grpo._values(args.rule))
    assert folder == charged.grpo and rules.subtract_baseline and rules.token_cost == TOKEN_COST
    assert "algorithm.filter_groups.metric=reward" in rest


def test_a_training_that_fails_says_where_to_look(tmp_path):
    with pytest.raises(training.TrainingFailed, match="console.log"):
        training._run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_arms_without_a_model_are_measured_once_and_compared(seed):
    arms = {name: evaluation.evaluate(seed, name) for name in ("no context", "RAG")}
    again = evaluation.evaluate(seed, "RAG")
    assert again == arms["RAG"] and len(again.episodes) == 4 * 2
    assert arms["no context"].manifest.seeds == again.manifest.seeds
    rows = list(evaluation.rows(arms))
    assert len(rows) == 16 and {row["tokens"] for row in rows if row["arm"] == "no context"} == {0}
    assert max(row["tokens"] for row in rows) <= 128


def test_the_comparison_and_the_tables_are_made_of_all_arms(seed):
    none, rag = (evaluation.evaluate(seed, name) for name in ("no context", "RAG"))
    arms = {name: dataclasses.replace(none if name == "no context" else rag, name=name) for name in evaluation.ARMS}
    assert "SFT + RL" in evaluation.write(seed, arms).read_text()
    path = results.write_rows(seed, "runs", evaluation.rows(arms))
    rows = {seed.number: results.read_rows(path)}
    gain = tables.passes(rows[3], "RAG")
    assert f"| RAG | 1 | {100 * sum(gain.values()) / len(gain):.1f} |" in tables.arms_table(rows)
    assert len(tables.pairs_table(rows).splitlines()) == 2 + len(evaluation.PAIRS)


def test_settings_that_cannot_be_used_end_before_the_trainer(tmp_path, capsys):
    assert grpo.main(["ruleworld", "--store", str(tmp_path), "--rule", "moon=1", "--", "--dry-run"]) == 2
    assert "moon" in capsys.readouterr().err
