"""Stages 1 to 7 on a crafted repository, in all published forms; a killed run goes on."""

import importlib.util
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleartrace.data.errors import DataError
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.mine.trajectories import pipeline
from cleartrace.pairs.mine.trajectories.instance import parse_instance
from cleartrace.pairs.mine.trajectories.judge import Case, JudgeError, Label, Reason, Verdict
from cleartrace.pairs.mine.trajectories.judge.rules import RuleJudge
from cleartrace.pairs.mine.trajectories.locate import change_key, scope_of
from cleartrace.pairs.mine.trajectories.mask import Needles, leaks
from cleartrace.pairs.mine.trajectories.options import MineOptions
from cleartrace.pairs.mine.trajectories.patch import parse_patch
from cleartrace.pairs.mine.trajectories.pipeline import mine
from cleartrace.pairs.mine.trajectories.submission import PatchSource, find_submission

spec = importlib.util.spec_from_file_location("runs", Path(__file__).with_name("runs.py"))
assert spec and spec.loader
runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs)


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def mined(tmp_path: Path, rows: list[dict], name: str = "runs.jsonl", judge=None, **options):
    source = write(tmp_path / name, rows)
    tasks = write(tmp_path / "tasks.jsonl", [runs.task(name) for name in runs.MUTATIONS])
    return mine(
        [source], tmp_path / "pairs.jsonl", judge=judge or RuleJudge(), tasks=[tasks], options=MineOptions(**options)
    )


@pytest.mark.parametrize(
    ("form", "file"),
    [(runs.klear, "a.jsonl"), (runs.smith, "a.jsonl"), (runs.nebius, "a.parquet"), (runs.klear, "a.parquet")],
    ids=["klear", "swe-smith", "nebius", "klear in parquet"],
)
def test_the_cascade_counts_every_stage(tmp_path, form, file):
    done = mined(tmp_path, [form(name) for name in runs.MUTATIONS], file)
    assert done.funnel["trajectories"] == {"read": 4, "left_out": {}, "used": 4}
    assert done.funnel["pairs"] == {
        "1_same_commit": 6,
        "2_same_file": 6,
        "3_same_function": 3,
        "3_different_change": 3,
        "4_related_issues": 3,
        "4_within_uses": 3,
        "5_masked": 3,
        "6_judged_valid": 3,
        "7_audited": 3,
    }
    assert len(read_pairs([done.pairs])) == 6


def test_w2_both_directions_share_their_contexts_and_hide_both_patches(tmp_path):
    pairs = read_pairs([mined(tmp_path, [runs.klear(name) for name in runs.MUTATIONS]).pairs])
    for forward, reverse in zip(pairs[::2], pairs[1::2], strict=True):
        assert (forward.pos, forward.neg) == (reverse.neg, reverse.pos)
        assert forward.answer != reverse.answer
        assert forward.group == "acme/shapes@0a1b2c3d"
        patches = [file for pair in (forward, reverse) for file in parse_patch(pair.answer)]
        assert not leaks((*forward.pos, *forward.neg), Needles.of_patches(patches))
        text = "".join(message.content for message in forward.pos)
        assert "pr_description" not in text and "FINAL_OUTPUT" not in text


def test_the_issue_is_left_in_on_demand_only(tmp_path):
    rows = [runs.klear(name) for name in runs.MUTATIONS]
    pairs = read_pairs([mined(tmp_path, rows, include_issue=True).pairs])
    assert all("pr_description" in pair.pos[0].content for pair in pairs)
    assert all("You are an agent" not in message.content for pair in pairs for message in pair.pos)


def test_what_is_left_out_is_named(tmp_path):
    good = runs.klear("area1")
    unresolved = {**runs.klear("area2"), "resolved": False}
    unknown = {**runs.klear("area2"), "instance_id": "something else"}
    no_patch = {"instance_id": runs.instance_id("none"), "messages": good["messages"][:4]}
    two = json.loads(json.dumps(runs.klear("area3")))
    other = runs.diff("a = 1\n", "a = 2\n", "shapes/other.py")
    two["messages"][-1]["content"] += "\n" + other
    tests = json.loads(json.dumps(runs.klear("area3")))
    tests["messages"][-1]["content"] = "MINI_SWE_AGENT_FINAL_OUTPUT\n" + runs.diff("a\n", "b\n", "tests/test_a.py")
    unreadable = {"instance_id": "x", "messages": [{"role": "robot", "content": ""}]}
    done = mined(tmp_path, [good, unresolved, unknown, no_patch, two, tests, unreadable])
    assert done.funnel["trajectories"]["left_out"] == {
        "no_patch": 1,
        "only_tests_or_new_files": 1,
        "several_files": 1,
        "unknown_instance": 1,
        "unreadable": 1,
        "unresolved": 1,
    }


def test_the_same_change_twice_is_no_pair(tmp_path):
    twin = runs.klear("area1")
    twin["instance_id"] = runs.instance_id("twin")
    done = mined(tmp_path, [runs.klear("area1"), twin])
    assert done.funnel["pairs"]["3_same_function"] == 1
    assert done.funnel["pairs"]["3_different_change"] == 0


def test_issues_must_be_related_and_their_tests_different(tmp_path):
    rows = [runs.klear(name) for name in runs.MUTATIONS]
    done = mined(tmp_path, rows, min_cosine=0.99, max_cosine=1.0)
    assert done.funnel["pairs"]["4_related_issues"] == 0


def test_of_several_runs_the_most_alike_are_taken(tmp_path):
    rows = [runs.klear("area1", extra_turns=2), runs.klear("area1"), runs.klear("area2", extra_turns=2)]
    pairs = read_pairs([mined(tmp_path, rows).pairs])
    assert [len(pairs[0].pos), len(pairs[0].neg)] == [16, 16]


def test_stage_7_drops_what_length_or_turns_give_away(tmp_path):
    rows = [runs.klear("area1", extra_turns=4), runs.klear("area2")]
    for folder, options, outcome in (("a", {}, "length_ratio"), ("b", {"min_length_ratio": 0.1}, "turn_count")):
        (tmp_path / folder).mkdir()
        assert mined(tmp_path / folder, rows, judge=Says(Label.VALID), **options).funnel["outcomes"] == {outcome: 1}


def test_removed_lines_left_in_are_an_overlap_with_the_answer(tmp_path):
    """Why `mask_removed` is on: the buggy line stands in the supporting context only."""
    rows = [runs.klear(name) for name in ("area2", "area3")]
    assert mined(tmp_path, rows, mask_removed=False).funnel["outcomes"] == {"overlap_with_answer": 1}


class Says:
    """A judge of one mind."""

    name = "says"

    def __init__(self, label: Label, reason: Reason | None = None) -> None:
        self.verdict = Verdict(label, reason, "hm")

    def __call__(self, case: Case) -> Verdict:
        return self.verdict


class Stops:
    """A judge that breaks off after some cases, as a lost connection does."""

    name = "rules"

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, case: Case) -> Verdict:
        if not self.left:
            raise JudgeError("gone")
        self.left -= 1
        return RuleJudge()(case)


def test_a_stopped_run_goes_on_and_writes_the_same_file(tmp_path, monkeypatch):
    rows = [runs.klear(name) for name in runs.MUTATIONS] * 3
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = mined(tmp_path / "whole", rows)

    read, calls = pipeline.facts_of, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return read(*args)

    monkeypatch.setattr(pipeline, "COMMIT_ROWS", 2)
    monkeypatch.setattr(pipeline, "facts_of", dies)
    with pytest.raises(KeyboardInterrupt):
        mined(tmp_path / "cut", rows)
    with pytest.raises(JudgeError):
        mined(tmp_path / "cut", rows, judge=Stops(3))
    assert len(calls) == 6 + 8, "rows before the last commit are not read again"
    cut = mined(tmp_path / "cut", rows)
    assert cut.pairs.read_bytes() == whole.pairs.read_bytes()
    assert cut.funnel == whole.funnel


def test_a_working_file_of_other_settings_is_refused(tmp_path):
    rows = [runs.klear("area1")]
    mined(tmp_path, rows)
    with pytest.raises(DataError, match="other settings"):
        mined(tmp_path, rows, max_uses=1)


def test_uncertain_goes_to_the_review_queue(tmp_path):
    judge = Says(Label.UNCERTAIN, Reason.NOT_DECISIVE)
    done = mined(tmp_path, [runs.klear(name) for name in ("area1", "area2")], judge=judge)
    assert done.pairs.read_text() == ""
    (queued,) = map(json.loads, done.review.read_text().splitlines())
    assert queued["verdicts"][0]["note"] == "hm" and len(queued["pairs"]) == 2


@pytest.mark.parametrize(
    ("text", "group", "bug_type"),
    [
        ("tobymao__sqlglot.036601ba.func_pm_remove_cond__4k2hz7nk", "tobymao/sqlglot@036601ba", "func_pm_remove_cond"),
        ("pylint-dev__astroid.b114f6b5.pr_2599", "pylint-dev/astroid@b114f6b5", "pr"),
        ("python__mypy.e93f06ce.combine_file__a1b2c3d4", "python/mypy@e93f06ce", "combine_file"),
        ("cknd__stackprinter.219fcc52.lm_rewrite__x", "cknd/stackprinter@219fcc52", "lm_rewrite"),
        ("a__b.c.d.0123abcd.pr_1", "a/b.c.d@0123abcd", "pr"),
    ],
)
def test_instance_ids(text, group, bug_type):
    found = parse_instance(text)
    assert found and (found.group, found.bug_type) == (group, bug_type)


def test_other_ids_need_a_commit():
    assert parse_instance("django__django-123") is None
    found = parse_instance("django__django-123", "0123abcd9999")
    assert found and found.group == "django/django@0123abcd"


def test_the_instance_patch_is_turned_round_when_the_run_shows_so():
    """In SWE-smith the instance's patch puts the bug in: verified on load, never assumed."""
    from cleartrace.pairs.record import Message

    row = runs.klear("area1")
    messages = [Message(**message) for message in row["messages"][:-2]]
    del messages[10:12]  # no printed diff either
    bug = runs.task("area1")["patch"]
    found = find_submission(messages, instance_patch=bug)
    assert found and found.source is PatchSource.INSTANCE
    assert found.files[0].side("+") == ("        return width * height",)
    with pytest.raises(ValueError, match="neither side"):
        find_submission(messages[:4], instance_patch=bug)


def test_a_function_is_found_by_tree_by_view_and_by_header():
    (patch,) = parse_patch(runs.diff(runs.buggy("area3"), runs.GOOD))
    assert scope_of(patch, source=runs.buggy("area3")) == "Box.area"
    assert scope_of(patch, source=runs.GOOD) == "Box.area", "a SWE-smith checkout is the side without the bug"
    far = "--- a/f.py\n+++ b/f.py\n@@ -3 +3 @@ class Other:\n-        c = 2\n+        c = 3\n"
    assert scope_of(parse_patch(far)[0], source="class Box:\n    def area(self):\n        c = 2\n") == "Box.area"
    assert scope_of(patch, shown=runs.buggy("area3")) == "Box.area"
    assert scope_of(patch) == "Box.area", "the hunk holds both definitions"
    far = "--- a/f.py\n+++ b/f.py\n@@ -30,2 +30,2 @@ def far(a):\n     b = 1\n-    c = 2\n+    c = 3\n"
    assert scope_of(parse_patch(far)[0]) == "far"
    both = runs.GOOD.replace("width * height", "width / height").replace("math.pi *", "math.pi /")
    (several,) = parse_patch(runs.diff(both, runs.GOOD))
    assert scope_of(several, source=both) == ""


def test_layout_and_comments_make_no_different_change():
    old = "def f(a):\n    return a\n"
    (one,) = parse_patch(runs.diff(old, "def f(a):\n    return a+1\n"))
    (two,) = parse_patch(runs.diff(old, "def f(a):\n    return a + 1  # one more\n"))
    (three,) = parse_patch(runs.diff(old, "def f(a):\n    return a + 2\n"))
    assert change_key(one) == change_key(two) != change_key(three)


def test_a_reversed_patch_is_the_patch_of_the_way_back():
    (bug,) = parse_patch(runs.diff(runs.GOOD, runs.buggy("area2")))
    (fix,) = parse_patch(runs.diff(runs.buggy("area2"), runs.GOOD))
    assert bug.reversed == fix and fix.reversed == bug
