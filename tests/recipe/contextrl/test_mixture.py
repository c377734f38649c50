"""Training files of an experiment and of its baselines."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleartrace.data.errors import DataError
from cleartrace.data.tasks import Split
from cleartrace.pairs.files import read_pairs, write_pairs
from cleartrace.pairs.make.rule_families import RuleFamily
from cleartrace.pairs.make.rules import make_rules
from cleartrace.pairs.split import SplitError, split_by_group
from recipe.contextrl.mixture import Sources, draw_pairs, draw_rows, main, write_mixture
from recipe.contextrl.presets import PRESETS, SWEEP_SHARES, Mixture
from recipe.contextrl.tables import append_rows, write_sample
from tests.data.task_files import write_tasks


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Sources:
    folder = tmp_path_factory.mktemp("sources")
    train, val = (
        tuple(write_tasks(folder / str(seed) / split.value, n, seed, split) for seed in (1, 2))
        for split, n in ((Split.TRAIN, 12), (Split.HELD_OUT, 3))
    )
    parts = split_by_group(make_rules(24, families=[RuleFamily.LOOKUP, RuleFamily.TRACE], level=1), 0.25)
    write_pairs(folder / "train.jsonl", parts.train)
    write_pairs(folder / "val.jsonl", parts.val)
    return Sources(train, val, (folder / "train.jsonl",), (folder / "val.jsonl",))


def questions(path: Path) -> list[str]:
    return [row["extra_info"]["question"] for row in pq.read_table(path).to_pylist()]


def test_the_published_sizes():
    assert {name: (mix.tasks, mix.pairs) for name, mix in PRESETS.items()} == {
        "agentic_klear": (7000, 1000),
        "agentic_qwen3_8b": (7000, 1000),
        "mm_qwen25vl_7b": (38000, 7000),
        "mm_qwen3vl_8b": (38000, 7000),
    }
    assert SWEEP_SHARES == (0.05, 0.15, 0.20, 0.50)


@pytest.mark.parametrize("share", SWEEP_SHARES)
def test_a_swept_share_keeps_the_total(share):
    mixture = PRESETS["mm_qwen25vl_7b"].with_share(share)
    assert mixture.tasks + mixture.pairs == 45000
    assert mixture.pair_share == pytest.approx(share, abs=1e-4)


def test_all_arms_get_as_many_rows(sources, tmp_path):
    rows = write_mixture(Mixture(tasks=14, pairs=6), sources, tmp_path)
    written = {path.name: pq.read_metadata(path).num_rows for path in tmp_path.glob("*.parquet")}
    assert written == {name: n for name, n in rows.items() if name.endswith(".parquet")}
    assert rows["tasks.parquet"] + rows["pairs.jsonl"] == rows["rl_matched.parquet"] == rows["da_rl.parquet"] == 20
    assert rows["da_sft.parquet"] == 6
    assert json.loads((tmp_path / "mixture.json").read_text())["rows"] == rows
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*rows, "mixture.json"])


def test_the_baseline_keeps_the_tasks_and_adds_others(sources, tmp_path):
    write_mixture(Mixture(tasks=14, pairs=6), sources, tmp_path)
    tasks, matched = (questions(tmp_path / name) for name in ("tasks.parquet", "rl_matched.parquet"))
    assert len(set(tasks)) == 14
    assert set(tasks) < set(matched)


def test_da_rl_asks_the_pairs_of_contextrl(sources, tmp_path):
    write_mixture(Mixture(tasks=14, pairs=6), sources, tmp_path)
    rows = pq.read_table(tmp_path / "da_rl.parquet").to_pylist()
    asked = [row for row in rows if row["data_source"] == "context_selection"]
    assert {row["extra_info"]["question_id"] for row in asked} == {p.id for p in read_pairs(tmp_path / "pairs.jsonl")}
    assert {row["reward_model"]["ground_truth"] for row in asked} <= {"A", "B"}
    assert [row["extra_info"].get("family") is None for row in rows] == [False] * 14 + [True] * 6


def test_drawn_pairs_keep_both_directions():
    pairs = make_rules(10)
    drawn = draw_pairs(pairs, 7, seed=0)
    assert len(drawn) == 6
    assert all(sum(p.group == d.group for p in drawn) == 2 for d in drawn)
    assert drawn != draw_pairs(pairs, 7, seed=1)


def test_a_larger_draw_keeps_the_smaller_one():
    small, large = draw_rows([5, 5], 4, seed=0), draw_rows([5, 5], 7, seed=0)
    assert sum(map(len, small)) == 4
    assert all(a <= b for a, b in zip(small, large, strict=True))


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (Mixture(tasks=14, pairs=600), "600 pairs are wanted, 36 are there"),
        (Mixture(tasks=20, pairs=6), "26 tasks are wanted, 24 are there"),
    ],
)
def test_what_is_too_little_is_said(sources, tmp_path, mixture, message):
    with pytest.raises(ValueError, match=message):
        write_mixture(mixture, sources, tmp_path / "out")


def test_a_group_on_both_sides_is_refused(sources, tmp_path):
    mixed = Sources(sources.tasks, sources.val_tasks, sources.pairs, sources.pairs)
    with pytest.raises((SplitError, DataError)):
        write_mixture(Mixture(tasks=14, pairs=6), mixed, tmp_path / "out")


def test_files_of_other_columns_are_refused(sources, tmp_path):
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="its columns are not those of"):
        write_sample([sources.tasks[0], tmp_path / "other.parquet"], [{0}, {0}], tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("column", ["images", "label"])
def test_columns_that_do_not_fit_together_are_named(tmp_path, column):
    pq.write_table(pa.table({column: [[{"bytes": b"1"}]]}), tmp_path / "one.parquet")
    pq.write_table(pa.table({column: [["a.png"]]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=f"column {column}"):
        append_rows(tmp_path / "one.parquet", tmp_path / "other.parquet", tmp_path / "out.parquet")


def test_the_command_scales_a_preset_and_says_what_is_missing(sources, tmp_path, capsys):
    files = {"--tasks": sources.tasks, "--val-tasks": sources.val_tasks}
    files |= {"--pairs": sources.pairs, "--val-pairs": sources.val_pairs}
    words = [word for name, paths in files.items() for word in (name, *map(str, paths))]
    given = ["agentic_klear", *words, "--out", str(tmp_path / "out")]
    assert main([*given, "--scale", "0.002"]) == 0
    assert f"{tmp_path}/out/tasks.parquet: 14 rows" in capsys.readouterr().out
    assert main(given) == 2
    assert "1000 pairs are wanted, 36 are there" in capsys.readouterr().err
