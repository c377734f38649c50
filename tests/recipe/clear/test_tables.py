"""The tables of the study, against numbers worked out by hand."""

from __future__ import annotations

from recipe.clear.evaluation import ARMS
from recipe.clear.study import main
from recipe.clear.tables import arms_table, pairs_table, passes, solved_table


def rows(shares: dict[str, float]) -> list[dict[str, str]]:
    """10 tasks of 5 customers; of each arm the given share of tasks passes in both runs."""
    found = []
    for arm in ARMS:
        for n in range(10):
            score = str(float(n < round(10 * shares.get(arm, 0.0))))
            for number in range(2):
                found.append(
                    {"arm": arm, "task": f"c{n // 2}-{n % 2}", "pass": str(number), "score": score, "abstained": "0",
                     "tokens": "20"}
                )  # fmt: skip
    return found


def test_each_arm_has_its_mean_over_seeds():
    table = arms_table({0: rows({"SFT": 0.4}), 1: rows({"SFT": 0.6})})
    line = next(line for line in table.splitlines() if line.startswith("| SFT |"))
    assert line.startswith("| SFT | 2 | 50.0 [") and "| 40.0, 60.0 |" in line
    assert passes(rows({"SFT": 0.4}), "SFT")["c0-0"] == 1.0


def test_differences_are_paired_by_task_and_resampled_by_customer():
    table = pairs_table({0: rows({"SFT": 0.4, "SFT + RL": 0.8})})
    line = next(line for line in table.splitlines() if line.startswith("| SFT + RL − SFT |"))
    assert line.startswith("| SFT + RL − SFT | 10 | 5 | +40.0 [")
    same = next(line for line in pairs_table({0: rows({})}).splitlines() if line.startswith("| RAG − no context"))
    assert "+0.0 [all agree: unknown]" in same and same.endswith("| 1 |")


def test_tasks_that_need_no_context_are_told_apart():
    table = solved_table({0: rows({"no context": 0.3, "SFT": 0.5, "RAG": 0.2})})
    lines = {line.split(" |")[0]: line for line in table.splitlines()}
    assert lines["| no context"] == "| no context | 100 | 0 | 0 | 0 |"
    assert lines["| SFT"] == "| SFT | 100 | 0 | 29 | 0 |"
    assert lines["| RAG"] == "| RAG | 67 | 0 | 0 | 0 |"


def test_tables_of_what_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--tables"]) == 1
    assert "0 of 3 seeds are finished" in capsys.readouterr().out
