"""`cleartrace optimize`: settings from file and flags, a run on the rule world, one against a served model."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.loopback import Answer, Asked, Loopback
from cleartrace.cli import app
from cleartrace.context.playbook.files import load
from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.learn.rcl.run_config import ConfigError, RunConfig, make_config, write_yaml
from cleartrace.learn.rcl.rundir import read_history
from cleartrace.learn.rcl.state import State

SMALL = ["--environment-options", "options={scenarios: [4, 1, 1], rules: 8, tasks_each: 3}", "--batch-size", "3"]


def call(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["optimize", *words], env={"COLUMNS": "200", "TERM": "dumb"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.output


def settings(*words: str) -> dict:
    return yaml.safe_load(call(*words, "--dry-run"))


def test_a32_ruleworld_learns_without_a_model(tmp_path):
    said = call("ruleworld", *SMALL, "--iterations", "3", "--output", str(tmp_path / "run"))
    assert "finished: all 3 iterations are done" in said and "3/3" in said
    assert len(read_history(tmp_path / "run")) == 3
    for name in ("config.yaml", "state.json", "playbook.json", "best.json", "result.json", "ledger.jsonl"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert "holds a run; go on with --resume" in call("ruleworld", "--output", str(tmp_path / "run"), status=2)
    longer = call("--resume", str(tmp_path / "run"), "--iterations", "4")
    assert "going on after iteration 3 of 4" in longer and len(read_history(tmp_path / "run")) == 4
    refused = call("--resume", str(tmp_path / "run"), "--mini-batch", "2", status=2)
    assert "mini_batch: 1 -> 2" in refused and "--allow-config-change" in refused
    call("--resume", str(tmp_path / "run"), "--mini-batch", "2", "--iterations", "5", "--allow-config-change")
    assert len(read_history(tmp_path / "run")) == 5


def test_the_documented_lines_learn_a_playbook_and_measure_it(tmp_path, monkeypatch):
    readme = Path(__file__).resolve().parents[3] / "README.md"
    lines = [line for line in readme.read_text().splitlines() if line.startswith("cleartrace ") and "rcl-demo" in line]
    assert [line.split()[1] for line in lines] == ["optimize", "report", "context"]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line, comments=True)[1:], env={"COLUMNS": "200", "TERM": "dumb"})
        assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"
    best = load(tmp_path / "runs/rcl-demo/best.json")
    assert best == State.model_validate_json((tmp_path / "runs/rcl-demo/state.json").read_bytes()).best.playbook
    measured = json.loads((tmp_path / "runs/context-demo/comparison.json").read_text())
    assert [arm["name"] for arm in measured["arms"]] == ["none", "playbook-best"]


@pytest.mark.parametrize(
    ("limit", "reason"), [("--max-calls", "calls of all roles: 7 of 7"), ("--max-tokens", "tokens")]
)
def test_a_budget_stops_the_run_within_one_call_and_keeps_what_is_paid(tmp_path, limit, reason):
    said = call("ruleworld", *SMALL, "--iterations", "9", limit, "7", "--output", str(tmp_path))
    assert f"stopped: the budget is used up: {reason}" in said and "go on with" in said
    assert json.loads((tmp_path / "result.json").read_text())["stop"] == "budget"
    kept = sum(json.loads(line)["entry"]["attempts"] for line in (tmp_path / "ledger.jsonl").read_text().splitlines())
    assert kept == (7 if limit == "--max-calls" else 1)
    call("--resume", str(tmp_path), limit, "0", "--iterations", "2")
    assert len(read_history(tmp_path)) == 2


def test_the_published_flags_are_understood():
    words = (
        "--benchmark agentdojo --model openai/a --reflector-model openai/b --mutator-model openai/c --iterations 3 "
        "--batch-size 5 --mini-batch 2 --max-remote-calls 50 --split train --n-concurrent 4 --seed 7 --add-only "
        "--prune-threshold 3 --entry-char-cap 900 --task-timeout 600 --failure-replay-ratio 0.5 "
        "--failure-replay-max-size 20 --failure-replay-no-unseen-first --failure-replay-passes-to-graduate 4 "
        "--failure-replay-failures-to-evict 2 --thinking-level high --auxiliary-losses --grouped-rollouts 3 "
        "--batched-reflection --reflect-all-traces --playbook-budget 4000 --dual-trace --summarize-traces "
        "--trace-summarizer-model openai/d --optimization-state --skip-validation"
    )
    found = settings(*words.split())
    assert found["environment"] == "agentdojo" and found["group_size"] == 3 and found["max_workers"] == 4
    assert (
        found["failure_replay_unseen_first"] is False and found["use_optimization_state"] and found["max_steps"] == 50
    )
    more = settings("ruleworld", "--pp", "--perturbation-set", "minimal", "--single-pass")
    assert more["pp"] and more["perturbation_set"] == "minimal" and more["single_pass"]
    assert settings("agentdojo", "--model", "openai/a", "--omit-mutator-traces")["omit_mutator_traces"]


def test_flags_that_resume_made_useless_are_refused_with_the_reason():
    assert "knows the iteration by itself" in call("ruleworld", "--start-iteration", "3", status=2)
    assert "keeps the history by itself" in call("ruleworld", "--resume-history", "x.json", status=2)


def test_a_file_holds_settings_and_flags_win(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("environment: ruleworld\nmini-batch: 3\ngrouped_rollouts: 2\n")
    found = settings("--config", str(path), "--mini-batch", "4")
    assert (found["mini_batch"], found["group_size"]) == (4, 2)
    path.write_text("mini_bach: 3\n")
    assert "there is no setting 'mini_bach'; the nearest is 'mini_batch'" in call(
        "ruleworld", "--config", str(path), status=2
    )


def test_a_written_file_reads_as_the_same_settings(tmp_path):
    config = make_config({"environment": "ruleworld", "dual_trace": True, "group_size": 2, "single_pass": True})
    write_yaml(tmp_path / "c.yaml", config)
    assert make_config(yaml.safe_load((tmp_path / "c.yaml").read_text())) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reflector_model": "openai/x"}, "reflector_model has no effect on ruleworld without a model"),
        ({"max_steps": 5}, "max_steps has no effect on ruleworld without a model"),
        ({"model": "openai/x", "trace_summarizer_model": "openai/y"}, "without summarize_traces"),
        ({"model": "openai/x", "omit_mutator_traces": True, "summarize_traces": True}, "beside summarize_traces"),
        ({"model": "openai/x", "optimization_state_model": "openai/y"}, "without use_optimization_state"),
        ({"operations": "all"}, "operations has no effect on ruleworld without a model"),
        ({"leak_guard": True}, "leak_guard has no effect on ruleworld without a model"),
        ({"reflector_reads": "shell"}, "reflector_reads has no effect on ruleworld without a model"),
        ({"model": "openai/x", "shell_calls": 5}, "shell_calls has no effect without reflector_reads=shell"),
        ({"model": "openai/x", "shell_seconds": 1.0}, "shell_seconds has no effect without reflector_reads=shell"),
        ({"model": "openai/x", "reflector_reads": "shel"}, "reflector_reads: Input should be"),
        ({"model": "openai/x", "max_cost": 1.0}, "without prices"),
        ({"skip_validation": True, "val_split": "test"}, "with skip_validation"),
        ({"reflector_prompt_style": "enriched", "auxiliary_losses": False}, "they are one switch"),
        ({"entry_char_cap": 10}, "entry_char_cap: no entry fits: it has at least 11 characters, got a cap of 10"),
        ({"batch_size": "many"}, "batch_size: Input should be a valid integer"),
        ({"perturbation_set": "most"}, "perturbation_set: Input should be"),
    ],
)
def test_r18_settings_of_a_run_act_or_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        make_config({"environment": "ruleworld", **values})


def test_the_published_style_is_the_auxiliary_switch():
    assert make_config({"environment": "ruleworld", "reflector_prompt_style": "enriched"}).auxiliary_losses
    assert not make_config({"environment": "ruleworld", "reflector_prompt_style": "standard"}).auxiliary_losses


def test_every_field_is_documented_and_has_a_flag():
    assert [name for name, field in RunConfig.model_fields.items() if not field.description] == []
    said = CliRunner().invoke(app, ["optimize", "--help"], env={"COLUMNS": "400", "TERM": "dumb"}).output
    assert [name for name in RunConfig.model_fields if f"--{name.replace('_', '-')}" not in said] == []


def test_wrong_names_are_refused_before_anything_runs(tmp_path):
    out = ["--output", str(tmp_path / "x")]
    assert "name an environment" in call(status=2)
    assert "two environments" in call("ruleworld", "--benchmark", "bfcl", status=2)
    assert "agentdojo needs a model" in call("agentdojo", *out, status=2)
    assert "there is no split 'tarin'" in call("ruleworld", "--split", "tarin", *out, status=2)
    assert "no option 'rulez'" in call("ruleworld", "--environment-options", "rulez=1", *out, status=2)
    assert "has the form name=value" in call("ruleworld", "--environment-options", "x", *out, status=2)
    pool = tmp_path / "pool.txt"
    pool.write_text("alder-999\n")
    assert "has no task 'alder-999'" in call("ruleworld", "--train-pool", str(pool), *out, status=2)
    assert not (tmp_path / "x" / "state.json").exists()


class Served:
    """An endpoint that plays every role: the agent answers D0, the reflector blames a gap, the mutator adds a rule."""

    def __init__(self) -> None:
        self.roles: list[str] = []

    def __call__(self, asked: Asked) -> Answer:
        text = json.dumps(asked.body["messages"])
        if '\\"mutation_summary\\"' in text:
            role, said = "mutator", {"mutation_summary": "one", "operations": [self._add()]}
        elif '\\"analysis\\"' in text:
            role, said = "reflector", {"analysis": "a rule was not known", "failure_type": "actionable_gap"}
        elif "change_ledger" in text:
            role, said = "state", {"playbook_assessment": {"health": "healthy"}}
        else:
            role, said = "agent", "D0"
        self.roles.append(role)
        content = said if isinstance(said, str) else json.dumps(said)
        message = {"role": "assistant", "content": content}
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return Answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})

    def _add(self) -> dict:
        number = self.roles.count("mutator") + 1
        return {"op": "ADD", "section": "rules", "content": f"Rule number {number}: heavy things go to desk D{number}."}


def test_a_run_against_a_served_model(tmp_path):
    served = Served()
    with Loopback(served) as server:
        model = f"openai/m@{server.url}/v1"
        words = ["--iterations", "2", "--skip-validation", "--auxiliary-losses", "--optimization-state", "--dual-trace"]
        words += ["--max-workers", "1"]
        said = call("ruleworld", *SMALL, "--model", model, *words, "--output", str(tmp_path))
    assert "finished" in said and {"agent", "reflector", "mutator", "state"} == set(served.roles)
    playbook = json.loads((tmp_path / "playbook.json").read_text())
    assert [entry["text"][:13] for entry in playbook["entries"]] == ["Rule number 1", "Rule number 2"]
    assert playbook["sections"].keys() == {"rules", "reading"}
    shown = [json.dumps(one.body["messages"]) for one in server.asked]
    assert any("[e1] Rule number 1" in text for text in shown)
    roles = {json.loads(line)["role"] for line in (tmp_path / "ledger.jsonl").read_text().splitlines()}
    assert roles == {"agent", "reflector", "mutator", "state"}
    assert [row["probes"] for row in read_history(tmp_path)] == [3, 3]


class Read(Served):
    """Its reflector calls the shell twice before it answers; `broken`: the endpoint then refuses the key."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.broken = broken

    def __call__(self, asked: Asked) -> Answer:
        messages = asked.body["messages"]
        if "# Reading the runs" not in messages[0]["content"]:
            return super().__call__(asked)
        read = sum(one["role"] == "tool" for one in messages)
        if read == 2:
            return Answer({"error": {"message": "no such key"}}, status=401) if self.broken else super().__call__(asked)
        self.roles.append("reader")
        function = {"name": "shell", "arguments": json.dumps({"command": ["ls", "head -n 3 run-1/view.md"][read]})}
        call = {"id": f"c{read}", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return Answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": {}})


def test_a13_a_reflector_with_a_shell_that_broke_goes_on_where_it_was(tmp_path):
    read, whole, broken = Read(broken=False), tmp_path / "whole", tmp_path / "broken"
    with Loopback(read) as server:
        words = [*SMALL, "--iterations", "1", "--skip-validation", "--max-workers", "1", "--reflector-reads", "shell"]
        words += ["--shell-calls", "9"]
        words = ["ruleworld", *words, "--model", f"openai/m@{server.url}/v1"]
        call(*words, "--output", str(whole))
        read.broken, read.roles = True, []
        said = call(*words, "--output", str(broken), status=1)
        assert "Rejected in iteration 1" in said and "no such key" in said and read.roles.count("reader") == 2
        read.broken, read.roles = False, []
        left = broken / "reading" / "episodes-of-a-killed-process"
        left.mkdir()
        left.chmod(0o555)
        call("--resume", str(broken))
        assert read.roles == ["reflector", "mutator"] and list((broken / "reading").iterdir()) == []
    assert any("You may make 9 calls of the shell" in json.dumps(one.body) for one in server.asked)
    assert (broken / "history.jsonl").read_bytes() == (whole / "history.jsonl").read_bytes()
    (kept,) = (broken / "iterations/0001/reflections").iterdir()
    (found,) = json.loads(kept.read_text())["result"]["reflections"]
    assert found["analysis"] == "a rule was not known"
    assert [one["line"] for one in found["shell"]] == ["ls", "head -n 3 run-1/view.md"]


class Tells(Served):
    """Its mutator writes the right answer of a task into the playbook."""

    def _add(self) -> dict:
        world = RuleWorld(options={"scenarios": (4, 1, 1), "rules": 8, "tasks_each": 3})
        answers = [action.text for task in world.tasks("train") for action in world.gold(task.id, 1)]
        return {"op": "ADD", "section": "rules", "content": f"The answer is {max(answers, key=len)}, always."}


@pytest.mark.parametrize("guard", [[], ["--leak-guard"]])
def test_the_leak_guard_rejects_edits_that_say_an_answer(tmp_path, guard):
    with Loopback(Tells()) as server:
        words = ["--iterations", "1", "--skip-validation", "--max-workers", "1", "--operations", "all", *guard]
        call("ruleworld", *SMALL, "--model", f"openai/m@{server.url}/v1", *words, "--output", str(tmp_path))
    (row,) = read_history(tmp_path)
    assert (row["kept"], row["rejected"]) == ((0, 1) if guard else (1, 0))
    assert ("gives away the answer" in row["note"]) is bool(guard)
    (asked,) = [one.body for one in server.asked if "mutation_summary" in json.dumps(one.body["messages"])]
    assert "`SPLIT`" in asked["messages"][0]["content"]


def test_an_endpoint_that_refuses_the_key_stops_the_run_with_its_name(tmp_path):
    with Loopback(lambda asked: Answer({"error": {"message": "no such key"}}, status=401)) as server:
        words = ["--model", f"openai/m@{server.url}/v1", "--skip-validation", "--batch-size", "1", "--max-workers", "1"]
        said = call("ruleworld", *SMALL[:2], *words, "--output", str(tmp_path), status=1)
    assert (
        "no run was scored in the last 3 iterations" in said
        and "no such key" in said
        and Path(tmp_path / "state.json").exists()
    )
