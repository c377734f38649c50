"""`cleartrace context credit` on the rule world, where true effects are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.context.playbook.files import save
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.learn.credit import Credits


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["context", "credit", "ruleworld", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    """All rules of the world in one entry, and an idle one."""
    world = RuleWorld().world
    entries = (
        Entry(id="e1", section="rules", text=world.gold_context()),
        Entry(id="e2", section="rules", text="Stay calm while you work."),
    )
    path = tmp_path / "playbook.json"
    save(Playbook(entries=entries, next_id=3), path)
    return path


@pytest.mark.parametrize("method", ["dropout", "leave-one-out"])
def test_r29_what_helps_is_told_from_what_is_idle(tmp_path: Path, playbook: Path, method: str) -> None:
    out = tmp_path / "credit.json"
    status, said = run("--playbook", playbook, "--out", out, "--method", method, "--draws", 40)
    assert status == 0 and "95 % interval" in said, said
    credits = Credits.model_validate(json.loads(out.read_text()))
    rules, idle = credits.of("e1"), credits.of("e2")
    assert rules is not None and rules.low > 0.1
    assert idle is not None and idle.low <= 0 <= idle.high
    runs = sorted((tmp_path / "credit-episodes").rglob("outcome.json"))
    stamps = [path.stat().st_mtime_ns for path in runs]
    assert run("--playbook", playbook, "--out", out, "--method", method, "--draws", 40)[0] == 0
    assert stamps == [path.stat().st_mtime_ns for path in runs], "equal runs are not made twice"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--split", "nowhere"], "no split 'nowhere'"),
        (["--rate", "1.5"], "rate"),
        (["--playbook", "missing.json"], "missing.json"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path: Path, playbook: Path, change: list[str], words: str) -> None:
    arguments = ["--out", tmp_path / "credit.json", "--draws", 4]
    if "--playbook" not in change:
        arguments += ["--playbook", playbook]
    status, said = run(*arguments, *change)
    assert status == 2 and words in said.replace("\n", " ")
