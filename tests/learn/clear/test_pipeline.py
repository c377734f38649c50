"""From runs to training data on the rule world, with a reflection model that really reads; killed and gone on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.loopback import Loopback
from cleartrace.data.files import read_rows
from cleartrace.data.row_checks import schema_errors
from cleartrace.episodes.store import EpisodeStore
from cleartrace.learn.clear.funnel import Funnel
from cleartrace.learn.clear.project import Project, read_records
from cleartrace.learn.clear.rows import Dropped, GuidanceRow, Reason
from tests.learn.clear.served import WORLD, Served, call, killed_at_call, killed_at_file

FORMATS = ("chat", "verl", "llamafactory", "prompts")


class Site:
    """A served model, and the words of the commands that use it."""

    def __init__(self, served: Served, url: str) -> None:
        self.served, self.model = served, ["--model", f"openai/m@{url}/v1", "--max-workers", "1"]

    def collect(self, out: Path, runs: int = 4) -> list[object]:
        return ["collect", "ruleworld", "--out", out, "--runs", runs, *WORLD, *self.model]

    def reflect(self, out: Path, *more: object) -> list[object]:
        sets = ["-k", "2", "-n", "4", "--limit", "3", "--max-steps", "6"]
        return ["reflect", out, *sets, *self.model, *more]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    served = Served()
    with Loopback(served) as server:
        yield Site(served, server.url)


@pytest.fixture(scope="module")
def done(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken pipeline."""
    out = tmp_path_factory.mktemp("done")
    call(*site.collect(out))
    call(*site.reflect(out))
    call("split", out, "--share", "0.25")
    for format in FORMATS:
        call("export", out, "--to", format)
    return out


def exported(out: Path) -> dict[str, bytes]:
    """What is trained on: all but the cards, which name records by ids that hold times."""
    files = [path for path in (out / "export").rglob("*") if path.is_file() and path.name != "card.json"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def untimed(path: Path) -> list[dict]:
    """Rows without the ids of records that hold how long something took."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in ("episodes", "reflection")} for row in found]


def test_every_set_is_in_the_funnel_once(done: Path) -> None:
    funnel = Funnel.model_validate_json((done / "funnel.json").read_text())
    lost = funnel.no_guidance + funnel.failed + funnel.leaked + funnel.duplicate
    assert (funnel.tasks, funnel.possible, funnel.subsets, funnel.open) == (12, 72, 36, 0)
    assert funnel.reflections == 36 == lost + funnel.rows
    assert funnel.no_guidance == 12 and funnel.leaked > 0 and funnel.duplicate > 0 and funnel.abstentions > 0
    dropped = list(read_records(done / "dropped.jsonl", Dropped))
    assert all("Order" not in one.note and one.note for one in dropped if one.reason is Reason.LEAK)
    notes = {one.note for one in dropped if one.reason is Reason.NO_GUIDANCE}
    assert notes == {"step_limit: not done after 6 turns"}


def test_a22_rows_carry_where_they_come_from(done: Path) -> None:
    rows = list(read_records(done / "rows.jsonl", GuidanceRow))
    runs, reflections = EpisodeStore(done / "episodes"), EpisodeStore(done / "reflections")
    for row in rows:
        scores = tuple(runs.get(id).outcome.score for id in row.episodes)
        assert scores == row.scores and row.task_id.startswith(row.group) and row.subset.startswith(row.task_id)
        record = reflections.get(row.reflection)
        lines = [one["line"] for one in record.outcome.details["shell"]]
        assert lines == ["ls", "cat outcomes.json", "grep -n marked run-1/view.md"]
        assert record.outcome.details["guidance"] == row.guidance
    assert any(row.guidance.startswith("Send heavy items marked ") for row in rows)
    assert len({(row.task_id, row.guidance) for row in rows}) == len(rows)


def test_a23_no_scenario_is_on_both_sides_of_any_export(done: Path) -> None:
    for format, column in (("chat", "group"), ("prompts", "extra_info")):
        suffix = "jsonl" if format == "chat" else "parquet"
        sides = []
        for side in ("train", "held_out"):
            path = done / "export" / format / f"{side}.{suffix}"
            if suffix == "jsonl":
                sides.append({json.loads(line)[column] for line in path.read_text().splitlines()})
            else:
                names = [row[column]["question_id"] for row in pq.read_table(path).to_pylist()]
                sides.append({name.rpartition("-")[0] for name in names})
        assert sides[0] and sides[1] and not sides[0] & sides[1]


def test_a25_prompts_are_rows_that_verl_reads(done: Path) -> None:
    for side in ("train", "held_out"):
        rows = [row for _, row in read_rows(done / "export" / "prompts" / f"{side}.parquet")]
        assert rows and [schema_errors(row) for row in rows] == [[]] * len(rows)
        assert {row["data_source"] for row in rows} == {"clear_guidance"}


def test_a_card_says_what_is_in_an_export(done: Path) -> None:
    card = json.loads((done / "export" / "chat" / "card.json").read_text())
    rows = (done / "export" / "chat" / "train.jsonl").read_text().splitlines()
    train = card["train"]
    assert train["rows"] == len(rows) and train["scenarios"] == 3 and card["held_out"]["scenarios"] == 1
    empty = sum(json.loads(row)["messages"][-1]["content"] == "NONE" for row in rows)
    assert train["abstained"] == pytest.approx(empty / len(rows), abs=1e-4) and 0 < train["abstained"] < 1
    assert train["prompt"]["longest"] >= train["prompt"]["p95"] >= train["guidance"]["p95"] > 0
    said = (done / "export" / "chat" / "README.md").read_text()
    assert f"| rows | {len(rows)} |" in said and "No scenario" not in said.splitlines()[0]


def test_show_says_what_is_there(done: Path) -> None:
    said = call("show", done)
    assert "48 runs on 12 tasks of ruleworld" in said and "36 reflections" in said and "an example row" in said
    assert "chat, llamafactory, prompts, verl" in said and "older" not in said


def test_killed_at_every_stage_it_ends_with_the_same_bytes_and_pays_nothing_twice(
    site: Site, done: Path, tmp_path: Path
) -> None:
    unbroken = len(site.served.calls)
    killed_at_call(site.served, 20, *site.collect(tmp_path))
    call(*site.collect(tmp_path))
    killed_at_call(site.served, 50, *site.reflect(tmp_path))
    assert list((tmp_path / "reading").iterdir()), "the killed process left the view that it read"
    killed_at_file(3, *site.reflect(tmp_path))
    call(*site.reflect(tmp_path))
    assert not list((tmp_path / "reading").iterdir())
    killed_at_file(2, "split", tmp_path, "--share", "0.25")
    call("split", tmp_path, "--share", "0.25")
    for format in FORMATS:
        killed_at_file(2, "export", tmp_path, "--to", format)
        call("export", tmp_path, "--to", format)
    made = site.served.calls[unbroken:]
    assert len(made) - len(set(made)) <= 2, "at most the two calls under way when it was killed were sent again"
    assert sorted(set(made)) == sorted(set(site.served.calls[:unbroken]))
    assert exported(tmp_path) == exported(done)
    for name in ("rows.jsonl", "train.jsonl", "held_out.jsonl"):
        assert untimed(tmp_path / name) == untimed(done / name)


def test_the_same_commands_again_call_nothing_and_change_nothing(site: Site, done: Path) -> None:
    before, calls = exported(done), len(site.served.calls)
    rows = (done / "rows.jsonl").read_bytes()
    call(*site.collect(done))
    assert "36/36 36 kept" in call(*site.reflect(done))
    call("export", done, "--to", "chat")
    assert (exported(done), (done / "rows.jsonl").read_bytes(), len(site.served.calls)) == (before, rows, calls)


def test_runs_that_are_added_later_take_no_reflection_away(site: Site, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "project"
    shutil.copytree(done, out)
    call(*site.collect(out, runs=8))
    rows, calls = (out / "rows.jsonl").read_bytes(), len(site.served.calls)
    assert "36/36 36 kept" in call(*site.reflect(out))
    assert (out / "rows.jsonl").read_bytes() == rows and len(site.served.calls) == calls


def test_reflections_whose_records_are_not_found_are_made_again_from_the_replies(
    site: Site, done: Path, tmp_path: Path
) -> None:
    """So go those of a project from when ids named places of runs: nothing is paid for twice."""
    out = tmp_path / "project"
    shutil.copytree(done, out)
    shutil.rmtree(out / "reflections")
    calls = len(site.served.calls)
    assert "36/36 0 kept" in call(*site.reflect(out)) and len(site.served.calls) == calls
    assert untimed(out / "rows.jsonl") == untimed(done / "rows.jsonl")


def test_models_without_tools_call_in_text_and_one_run_alone_is_the_ablation(site: Site, done: Path) -> None:
    name = ["--name", "no-contrast"]
    words = ["reflect", done, "-k", "1", "-n", "4", "--limit", "2", "--max-steps", "6", "--call-style", "text"]
    said = call(*words, *site.model, *name)
    rows = list(read_records(Project(done, "no-contrast").rows_file, GuidanceRow))
    assert rows and all(len(row.episodes) == 1 for row in rows) and "sets chosen" in said
    kept = (done / "rows.jsonl").read_bytes()
    call("split", done, "--share", "0.25", *name)
    call("export", done, "--to", "chat", *name)
    assert (done / "no-contrast" / "export" / "chat" / "card.json").is_file()
    assert (done / "rows.jsonl").read_bytes() == kept


def test_a_budget_stops_the_reflections_and_the_same_command_goes_on(site: Site, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "project"
    call(*site.collect(out))
    said = call(*site.reflect(out, "--max-calls", "10"), status=3)
    assert "calls of all roles: 10 of 10" in said and "not reflected on yet" in said and "goes on" in said
    call(*site.reflect(out))
    assert untimed(out / "rows.jsonl") == untimed(done / "rows.jsonl")
