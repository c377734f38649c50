"""`cleartrace pairs make rules` and `needle`."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.make.rule_families import RuleFamily
from cleartrace.pairs.make.rules import make_rules


def invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["pairs", "make", *words])
    return done.exit_code, done.output


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_rules_are_written_as_they_are_made(tmp_path, suffix):
    out = tmp_path / f"pairs{suffix}"
    options = ["--groups", "6", "--family", "lookup", "--family", "trace", "--level", "1", "--seed", "4"]
    assert invoke("rules", str(out), *options) == (0, f"12 pairs in 6 groups: {out}\n")
    families = (RuleFamily.LOOKUP, RuleFamily.TRACE)
    assert read_pairs(out) == make_rules(6, seed=4, families=families, level=1)


def test_needles_are_written_at_their_length(tmp_path):
    out = tmp_path / "pairs.jsonl"
    options = ["--groups", "2", "--length", "150", "--kind", "variables", "--filler", "grammar"]
    assert invoke("needle", str(out), *options) == (0, f"4 pairs in 2 groups: {out}\n")
    assert all(120 < len(str(pair.pos).split()) <= 150 for pair in read_pairs(out))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rules", "--groups", "9999", "--family", "derivation", "--level", "1"], "ask for fewer groups"),
        (["needle", "--length", "20"], "a length of 20 has no room"),
        (["needle", "--tokenizer", "nowhere"], "nowhere/tokenizer.json is not there"),
    ],
)
def test_what_the_user_can_mend_is_said_in_words(tmp_path, words, message):
    code, output = invoke(words[0], str(tmp_path / "pairs.jsonl"), *words[1:])
    assert (code, message in output) == (2, True), output
    assert list(tmp_path.iterdir()) == []
