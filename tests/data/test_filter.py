"""The pass-rate filter: the published counts, a draw that does not depend on order, and files that do not fit (D50)."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.errors import DataError
from cleartrace.data.filter import filter_file
from cleartrace.data.selection import PUBLISHED_RATIOS, Rule, parse_ratios, select
from cleartrace.data.sources import Category, category_of
from cleartrace.data.statistics import RowIdentity, SuccessLine, join, write_attached
from cleartrace.evaluate.outcome import RolloutOutcome, Status
from cleartrace.evaluate.passrate import statistics_line
from cleartrace.evaluate.questions import Question, read_questions
from tests.data.published import CODE_BY_RATE, OTHER_BY_RATE, SOURCES, success_line, verl_row, write_published

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = parse_ratios(PUBLISHED_RATIOS)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_published(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Enough rows for every rate."""
    return write_published(tmp_path_factory.mktemp("part"), 3000)


@pytest.fixture(scope="module")
def joined(published: tuple[Path, Path]) -> Any:
    return join(*published)


def small(
    folder: Path, sources: list[str], lines: list[dict[str, Any]], rows: list[dict[str, Any]] | None = None
) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    stats, dataset = folder / "stats.jsonl", folder / "data.parquet"
    stats.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = rows or [verl_row(i, source) for i, source in enumerate(sources)]
    pq.write_table(pa.Table.from_pylist(rows), dataset)
    return stats, dataset


def test_the_fixture_has_the_published_categories() -> None:
    counts: Counter[Category] = Counter()
    for name, (rows, _) in SOURCES.items():
        counts[category_of(name)] += rows
    assert counts == {Category.MATH: 22818, Category.CODE: 4310, Category.SCIENCE: 3000}


def test_published_counts(joined: Any) -> None:
    selection = select(joined, Rule(PUBLISHED))
    assert {(g.rate, g.code): len(g.kept) for g in selection.groups if g.code} == {
        (k / 8, True): n for k, n in enumerate((0, 288, 298, 331, 318, 311, 322, 266, 0))
    }
    assert [len(g.kept) for g in selection.groups if not g.code] == [0, 1510, 1371, 1533, 1596, 1852, 2253, 3104, 0]
    assert (selection.count(code=True), selection.count(code=False)) == (2134, 13219)
    assert len(selection.kept) == 15353


def test_retain_code_thins_programs_at_rate_zero_only(joined: Any) -> None:
    selection = select(joined, Rule(PUBLISHED, retain_code=True))
    assert (selection.count(code=True), selection.count(code=False)) == (2421, 13219)
    assert len(selection.kept) == 15640
    half_of_zero = select(joined, Rule(parse_ratios("0:0.5,1:0"), retain_code=True))
    assert half_of_zero.count(code=True) == sum(CODE_BY_RATE) - CODE_BY_RATE[0] + CODE_BY_RATE[0] // 2


def test_no_ratio_keeps_everything_and_nine_numbers_are_eighths(joined: Any) -> None:
    assert len(select(joined, Rule()).kept) == sum(CODE_BY_RATE) + sum(OTHER_BY_RATE)
    assert select(joined, Rule(parse_ratios("0,.8,.9,1,1,1,1,1,0"))) == select(joined, Rule(PUBLISHED))
    assert len(select(joined, Rule(parse_ratios("0.5:0"))).kept) == 30128 - 318 - 1596


def test_the_legacy_draw_is_numpys(joined: Any) -> None:
    selection = select(joined, Rule(PUBLISHED, legacy=True))
    assert len(selection.kept) == 15353
    for group in selection.groups:
        if group.rate in (0.125, 0.25):
            np.random.seed((42 if group.code else 43) + int(group.rate * 1000))
            drawn = np.random.choice(list(group.members), size=len(group.kept), replace=False)
            assert list(group.kept) == drawn.tolist()
    with pytest.raises(ValueError, match="0.2 is no eighth"):
        line = SuccessLine(data_source="m", successes=1, attempts=5, success_rate=0.2, avg_score=0.2, keep=True)
        rows = [(RowIdentity(i, str(i), str(i), "m"), line) for i in range(5)]
        select(rows, Rule(parse_ratios("0.2:0.5"), legacy=True))


def test_shuffling_the_data_set_selects_the_same_samples(part: tuple[Path, Path], tmp_path: Path) -> None:
    stats, dataset = part
    attached = tmp_path / "ids.jsonl"
    assert write_attached(stats, dataset, attached) == 3000
    table = pq.read_table(dataset)
    shuffled = tmp_path / "shuffled.parquet"
    pq.write_table(table.take(np.random.RandomState(0).permutation(len(table))), shuffled)

    def chosen(file: Path) -> list[str]:
        rows = join(attached, file)
        return [rows[i][0].sample_id for i in select(rows, Rule(PUBLISHED)).kept]

    before, after = chosen(dataset), chosen(shuffled)
    assert before != after and sorted(before) == sorted(after)
    rows = join(attached, dataset)
    other_seed = [rows[i][0].sample_id for i in select(rows, Rule(PUBLISHED, seed=1)).kept]
    assert len(other_seed) == len(before) and set(other_seed) != set(before)


def test_the_script_writes_the_published_columns(published: tuple[Path, Path], tmp_path: Path) -> None:
    stats, dataset = published
    command = ["bash", str(ROOT / "data_filter.sh"), "--stats", str(stats), "--dataset", str(dataset)]
    done = subprocess.run([*command, "--output_dir", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "15,353" in done.stdout and "2,134" in done.stdout and "13,219" in done.stdout
    table = pq.read_table(tmp_path / "out" / "filtered_sr.parquet")
    assert table.column_names == [
        *pq.read_schema(dataset).names,
        *("uid", "successes", "attempts", "success_rate", "avg_score", "keep", "data_source_stat"),
    ]
    rows = table.to_pylist()
    assert len(rows) == 15353
    assert [int(row["uid"]) for row in rows] == sorted(int(row["uid"]) for row in rows)
    assert all(row["reward_model"]["ground_truth"] == row["uid"] for row in rows)
    assert all(row["data_source_stat"] == row["data_source"] and row["keep"] for row in rows)


def test_the_legacy_option_and_retain_code_reach_the_filter(part: tuple[Path, Path], tmp_path: Path) -> None:
    stats, dataset = part
    words = ["data", "filter", "--stats", stats, "--dataset", dataset, "--output_dir", tmp_path, "--legacy-draw"]
    words += ["--success_rate_ratios", PUBLISHED_RATIOS, "--retain_code"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    expected = select(join(stats, dataset), Rule(PUBLISHED, retain_code=True, legacy=True)).kept
    assert pq.read_table(tmp_path / "filtered_sr.parquet")["uid"].to_pylist() == [str(i) for i in expected]


def test_rows_without_statistics_are_dropped(tmp_path: Path) -> None:
    stats, dataset = small(tmp_path, ["a", "b", "c"], [success_line(1, "b", 4)])
    target, selection = filter_file(stats, dataset, tmp_path / "out", Rule())
    assert selection.unmatched == 2
    assert pq.read_table(target)["uid"].to_pylist() == ["1"]
    # The output has a uid column, by which the same statistics find their rows again.
    again, _ = filter_file(stats, target, tmp_path / "again", Rule())
    assert pq.read_table(again).equals(pq.read_table(target))


def test_equal_rows_share_a_line_or_are_paired_in_order(tmp_path: Path) -> None:
    rows = [verl_row(7, "math"), verl_row(8, "math"), verl_row(7, "math")]
    ids = [identity.sample_id for identity, _ in join(*small(tmp_path, [], [success_line(0, "math", 1)], rows))]
    assert ids[0] == ids[2] != ids[1]

    def line(sample: str, successes: int) -> dict[str, Any]:
        return {**success_line(0, "math", successes), "sample_id": sample, "mean_tool_failures": 0.5}

    one = join(*small(tmp_path, [], [line(ids[0], 3)], rows))
    assert [found and found.successes for _, found in one] == [3, None, 3]
    two = join(*small(tmp_path, [], [line(ids[0], 3), line(ids[0], 5)], rows))
    assert [found and found.successes for _, found in two] == [3, None, 5]
    with pytest.raises(DataError, match="3 lines for sample .* which the data set has 2 times"):
        join(*small(tmp_path, [], [line(ids[0], k) for k in (1, 2, 3)], rows))


def test_the_lines_that_passrate_writes_are_read(tmp_path: Path) -> None:
    stats, dataset = small(tmp_path, ["math", "math"], [])
    first, second = read_questions([dataset])

    def outcome(question: Question, rollout: int, acc: bool, status: Status = Status.GRADED) -> RolloutOutcome:
        ids = {"row": question.row, "sample_id": question.sample_id, "arm": "off", "rollout": rollout}
        return RolloutOutcome.model_validate({**ids, "status": status, "acc": acc, "score": float(acc)})

    # One rollout was spoiled by the service, so the rate is no eighth, and has no ratio.
    lines = [
        statistics_line(first, [outcome(first, k, k < 2) for k in range(3)] + [outcome(first, 3, False, Status.INFRA)]),
        statistics_line(second, [outcome(second, k, True) for k in range(4)]),
    ]
    stats.write_text("".join(json.dumps(line) + "\n" for line in lines))
    target, selection = filter_file(stats, dataset, tmp_path / "out", Rule(PUBLISHED))
    assert [(group.rate, len(group.kept)) for group in selection.groups] == [(0.667, 1), (1.0, 0)]
    assert pq.read_table(target)["attempts"].to_pylist() == [3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([success_line(0, "b", 1)], "statistics 1 of 1, column data_source: 'b', but row 0 .* is from 'a'"),
        ([success_line(0, "a", 1), success_line(0, "a", 2)], "statistics 2 of 2, column uid: row 0 has statistics"),
        ([success_line(9, "a", 1)], "column uid: the data set has 2 rows and none is '9'"),
        ([{**success_line(0, "a", 1), "uid": "x"}], "none is 'x'"),
        ([{**success_line(0, "a", 1), "success_rate": 0.5}], "line 1.*success_rate 0.5 is not 1/8"),
        ([{**success_line(0, "a", 1), "attempts": 0}], "line 1, column attempts"),
        ([{k: v for k, v in success_line(0, "a", 1).items() if k != "keep"}], "line 1, column keep: Field required"),
        ([success_line(0, "a", 1), {**success_line(1, "b", 1), "sample_id": "x"}], "line 2: some lines have a sam"),
        ([{**success_line(0, "a", 1), "sample_id": "not-there"}], "no line belongs to a row"),
        ([], "there is no line in it"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(tmp_path: Path, lines: list[dict[str, Any]], message: str) -> None:
    stats, dataset = small(tmp_path, ["a", "b"], lines)
    with pytest.raises(DataError, match=message):
        filter_file(stats, dataset, tmp_path / "out", Rule())
    assert not (tmp_path / "out").exists()


def test_torn_lines_and_wrong_files_are_refused(tmp_path: Path) -> None:
    stats, dataset = small(tmp_path, ["a"], [success_line(0, "a", 1)])
    stats.write_text(stats.read_text() + '{"uid": "1", "data_')
    with pytest.raises(DataError, match="line 2: not JSON"):
        filter_file(stats, dataset, tmp_path, Rule())
    with pytest.raises(DataError, match="not a readable parquet file"):
        join(small(tmp_path, ["a"], [success_line(0, "a", 1)])[0], stats)
    with pytest.raises(DataError, match="no such file"):
        filter_file(stats, tmp_path / "none.parquet", tmp_path, Rule())


def test_an_empty_selection_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    stats, dataset = small(tmp_path, ["a"], [success_line(0, "a", 8)])
    old = tmp_path / "filtered_sr.parquet"
    old.write_bytes(b"old")
    with pytest.raises(DataError, match="no row would be left"):
        filter_file(stats, dataset, tmp_path, Rule(parse_ratios("1:0")))
    assert old.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.parquet", "filtered_sr.parquet", "stats.jsonl"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1", "nine shares are needed.* there are 2"),
        ("0:2", "2 is not between 0 and 1"),
        ("0:x", "'x' is not a number"),
        ("0:1,0.5", "'0.5' is not of the form"),
        ("0.125:1,0.1251:0", "named twice"),
        ("0:nan", "nan is not between"),
    ],
)
def test_bad_ratios_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_ratios(text)


@pytest.mark.parametrize(
    ("source", "category"),
    [
        ("LiveCodeBench_v6", Category.CODE),
        ("train-code-taco-easy", Category.CODE),
        ("AIME2024", Category.MATH),
        ("gpqa_diamond", Category.SCIENCE),
        ("cleartrace/product", Category.OTHER),
        ("unknown", Category.OTHER),
        ("", Category.OTHER),
    ],
)
def test_categories(source: str, category: Category) -> None:
    assert category_of(source) is category
