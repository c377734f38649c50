"""The comparison as files."""

from __future__ import annotations

import json
from pathlib import Path

from cleartrace.episodes.types import FailureKind
from cleartrace.evaluate.context.compare import compare
from cleartrace.evaluate.context.metrics import summarise
from cleartrace.evaluate.context.page import Comparison, markdown, write_comparison
from cleartrace.llm.ledger import Spent
from tests.evaluate.context.make_arm import arm


def comparison() -> Comparison:
    none = arm({"a": [1.0, 0.0], "b": [0.0, FailureKind.SANDBOX]}, name="none")
    playbook = arm({"a": [1.0, 1.0], "b": [0.0, 1.0]}, name="<b>book</b>")
    spent = (Spent("agent", 8, 1, 800, 160, 2.0, 9.5), Spent("total", 8, 1, 800, 160, None, 9.5))
    return Comparison("demo", (summarise(none), summarise(playbook)), (compare(none, playbook),), spent)


def test_three_files_say_the_same(tmp_path: Path) -> None:
    page = write_comparison(comparison(), tmp_path)
    data = json.loads((tmp_path / "comparison.json").read_text())
    assert data["arms"][1]["tgc"]["mean"] == 0.75 and data["paired"][0]["left_out"] == 1
    text = (tmp_path / "comparison.md").read_text()
    assert "| none | 2 | 2 | 2 | 25.00 ± 35.36 % [0.0, 50.0] | 33.3% |" in text and "sandbox 1" in text
    html = page.read_text()
    assert "25.00 ± 35.36 %" in html and "&lt;b&gt;book" in html and "<b>book" not in html
    assert html.count('class="chart"') == 1
    assert data["spent"][0]["role"] == "agent" and data["spent"][1]["cost"] is None
    assert "| agent | 8 | 1 | 800 | 160 | 2.0000 | 9.5 |" in text and "<td>unknown</td>" in html


def test_what_is_unknown_is_null_in_json_and_said_in_words(tmp_path: Path) -> None:
    one = arm({"a": [1.0]}, name="one")
    write_comparison(Comparison("one", (summarise(one),), (compare(one, one),)), tmp_path)
    assert json.loads((tmp_path / "comparison.json").read_text())["paired"][0]["tgc"]["low"] is None
    assert "+0.0 [all agree: unknown]" in (tmp_path / "comparison.md").read_text()


def test_every_table_is_whole() -> None:
    for line in markdown(comparison()).splitlines():
        if line.startswith("|"):
            assert line.count("|") in (8, 11, 14)
