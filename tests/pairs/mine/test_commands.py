"""`cleartrace pairs mine` and `audit`, as typed."""

import importlib.util
import json
from pathlib import Path

from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.pairs.files import read_pairs

spec = importlib.util.spec_from_file_location("runs", Path(__file__).with_name("runs.py"))
assert spec and spec.loader
runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs)


def other_repository(row: dict) -> dict:
    return {**row, "instance_id": row["instance_id"].replace("acme__shapes", "acme__forms")}


def command(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["pairs", *map(str, words)])
    return done.exit_code, done.output


def written(tmp_path: Path) -> Path:
    rows = [runs.klear(name) for name in runs.MUTATIONS]
    source = tmp_path / "runs.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *map(other_repository, rows)]))
    return source


def test_mine_writes_pairs_a_queue_and_a_card(tmp_path):
    out = tmp_path / "pairs.jsonl"
    status, output = command("mine", written(tmp_path), "--out", out, "--record", tmp_path / "verdicts.jsonl")
    assert status == 0, output
    pairs = read_pairs(out)
    assert len(pairs) == 12
    card = json.loads((tmp_path / "pairs.card.json").read_text())
    assert card["both_directions"] == 1.0
    assert card["funnel"]["pairs"]["7_audited"] == 6
    scores = {one["shortcut"]: one["accuracy"] for one in card["shortcuts"]}
    assert scores["context_only"] == scores["length"] == 0.5
    again = tmp_path / "again.jsonl"
    status, output = command("mine", tmp_path / "runs.jsonl", "--out", again, "--replay", tmp_path / "verdicts.jsonl")
    assert status == 0, output
    assert [pair.id for pair in read_pairs(again)] == [pair.id for pair in pairs]


def test_audit_prints_scores_and_writes_a_card(tmp_path):
    out = tmp_path / "pairs.jsonl"
    command("mine", written(tmp_path), "--out", out)
    status, output = command("audit", out, "--card", tmp_path / "card.json")
    assert status == 0 and "context_only" in output
    assert json.loads((tmp_path / "card.json").read_text())["pairs"] == 12


def test_what_cannot_be_done_is_said_in_words(tmp_path):
    source = written(tmp_path)
    for words, said in (
        (("mine", tmp_path / "none.jsonl", "--out", tmp_path / "o.jsonl"), "no such file"),
        (("mine", source, "--out", tmp_path / "o.jsonl", "--judge-url", "http://x"), "belong together"),
        (("mine", source, "--out", tmp_path / "o.jsonl", "--min-cosine", "0.99"), "is above max_cosine"),
        (("audit", tmp_path / "none.jsonl"), "no such file"),
    ):
        status, output = command(*words)
        assert status == 2 and said in output, output
