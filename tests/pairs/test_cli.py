"""`cleartrace pairs show | check | split | export` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.pairs.files import read_pairs, write_pairs
from cleartrace.pairs.record import PairKind, both_directions
from recipe.contextrl.tiny.build import Family, build
from tests.pairs.samples import THINKING, byte_level, image_pair, text_pair, trajectory_pair

POLICY = Path(__file__).resolve().parents[2] / "dataset/quickstart/policy"


def run(*words: object):
    done = CliRunner().invoke(app, ["pairs", *(str(word) for word in words)], env={"COLUMNS": "200"})
    return done.exit_code, done.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pairs = []
    for i in range(20):
        pairs += both_directions(
            id=f"fox-{i}",
            kind=PairKind.TEXT,
            question="What colour?",
            answers=("red", "grey"),
            contexts=(f"Fox {i} is red.", f"Fox {i} is grey."),
            group=f"g{i}",
            source="foxes",
        )
    write_pairs(tmp_path / "pairs.jsonl", [*pairs, text_pair(0, source="alone")])
    return tmp_path / "pairs.jsonl"


def test_show_prints_the_prompt_and_the_right_letter(file, tmp_path):
    code, output = run("show", file, "--id", "fox-3-", "--order", "BA")
    assert code == 0
    assert output.startswith("[fox-3-: text, group g3, source foxes]\n\nQuestion:\nWhat colour?")
    assert "Context A:\n```\nFox 3 is red.\n```" in output and output.endswith("[right: B]\n")
    write_pairs(tmp_path / "other.jsonl", [image_pair(tmp_path), trajectory_pair(id="steps")])
    assert f"Context A:\n[image {tmp_path}/red.png]" in run("show", tmp_path / "other.jsonl")[1]
    assert "issue 7" in run("show", tmp_path / "other.jsonl", "--id", "steps", "--include-issue")[1]
    assert run("show", file, "--id", "cat") == (2, f"error: there is no pair cat in {file}\n")
    assert run("show", file, "--letters", "A")[0] == 2


def test_split_writes_two_files_without_a_common_group(file, tmp_path):
    code, output = run("split", file, "--out", tmp_path / "parts", "--val-share", "0.2")
    assert code == 0 and "8 pairs in 4 groups" in output
    train, val = (read_pairs(tmp_path / f"parts/{name}.jsonl") for name in ("train", "val"))
    assert len(train) + len(val) == 41 and not {p.group for p in train} & {p.group for p in val}
    assert run("check", tmp_path / "parts/train.jsonl", "--val", tmp_path / "parts/val.jsonl")[0] == 0
    assert run("split", file, "--out", tmp_path, "--val-share", "1.5")[0] == 2


def test_check_counts_by_source_and_finds_shared_groups(file):
    code, output = run("check", file)
    rows = [line.replace("│", " ").split() for line in output.splitlines()]
    assert code == 0
    assert ["alone", "text", "1", "1", "0%"] in rows and ["foxes", "text", "40", "20", "100%"] in rows
    code, output = run("check", file, "--val", file)
    assert code == 1 and "training and held-out pairs share the groups fox-0, g0, g1 and 18 more" in output


def test_check_shows_letters_ending_and_lengths(file, tmp_path):
    code, output = run("check", file, "--model", POLICY)
    assert code == 0 and r"<|im_start|>assistant\n'; answer prefix ''" in output and "A is token (" in output
    longest = int(output.split("the longest has ")[1].split(" ")[0])
    assert "41 of 41 pairs kept" in output
    code, output = run("check", file, "--model", POLICY, "--max-prompt-length", longest - 1)
    assert code == 0 and "longer than" in output and "41 of 41" not in output
    code, output = run("check", file, "--model", POLICY, "--max-prompt-length", longest - 1, "--overlong", "error")
    assert code == 1 and f"over max_prompt_length={longest - 1}" in output
    code, output = run("check", file, "--model", POLICY, "--max-prompt-length", 5)
    assert code == 1 and "no pair of 41 fits into 5 tokens" in output


def test_check_closes_an_open_thought(file, tmp_path):
    byte_level(THINKING).save_pretrained(tmp_path / "thinker")
    _, output = run("check", file, "--model", tmp_path / "thinker")
    assert r"answer prefix '\n</think>\n\n'" in output
    _, output = run("check", file, "--model", tmp_path / "thinker", "--answer-prefix", "none")
    assert r"<think>\n'; answer prefix ''" in output


def test_check_counts_the_tokens_of_images(tmp_path):
    build(Family.QWEN3_VL, tmp_path / "vlm")
    write_pairs(tmp_path / "pairs.jsonl", [image_pair(tmp_path)])
    code, output = run("check", tmp_path / "pairs.jsonl", "--model", tmp_path / "vlm", "--trust-remote-code")
    assert code == 0 and "1 of 1 pairs kept" in output
    assert run("check", tmp_path / "pairs.jsonl", "--model", POLICY)[1].count("there is no processor") == 1


@pytest.mark.parametrize("words", [["--model", "nowhere"], ["--model", str(POLICY), "--chat-template-kwargs", "[]"]])
def test_check_says_what_is_wrong_with_its_settings(words, file):
    code, output = run("check", file, *words)
    assert code == 2 and output.startswith("error: ")


def test_export_writes_both_forms(file, tmp_path):
    code, output = run(
        "export", "sft", file, "--out", tmp_path / "sft.parquet", "--order", "both", "--prefill", "It is "
    )
    assert code == 0 and "82 rows of 41 pairs" in output
    told = pq.read_table(tmp_path / "sft.parquet").to_pylist()[0]["messages"]
    assert told[1] == {"role": "assistant", "content": "It is A"}
    code, output = run("export", "rl", file, "--out", tmp_path / "rl.parquet")
    assert code == 0 and "41 rows of 41 pairs" in output
    assert CliRunner().invoke(app, ["data", "validate", str(tmp_path / "rl.parquet")]).exit_code == 0
    assert run("export", "rl", file, "--out", tmp_path / "rl.parquet", "--prefill", "x")[0] == 2
    assert run("export", "rl", file, "--out", tmp_path / "rl.parquet", "--letters", "X,Y")[0] == 2


def test_wrong_rows_are_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text(json.dumps({"id": "x"}) + "\n")
    for command in (["show"], ["check"], ["split", "--out", tmp_path]):
        code, output = run(command[0], tmp_path / "bad.jsonl", *command[1:])
        assert code == 2 and "bad.jsonl, row 0, column kind: Field required" in output


def test_help_needs_nothing_heavy():
    code = (
        "import sys, cleartrace.cli; "
        "print([name for name in ('torch', 'transformers', 'numpy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
