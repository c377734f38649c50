"""`cleartrace playbook ...` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.cli import app
from cleartrace.context.playbook.counts import count
from cleartrace.context.playbook.files import load, save
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.render import render
from cleartrace.context.playbook.types import Playbook, Source
from cleartrace.learn.protocol import EntryVerdict, Tag
from cleartrace.llm.scripted import Scripted

PAY, ASK, SORT = "Check the total before [bold]paying.", "Ask for the password first.", "Sort the list by date."


def add(text: str) -> Operation:
    return Operation(op=Op.ADD, texts=(text,), section="checks")


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """e1 with one rewrite, e2 harmful three times, e3."""
    source = Source(iteration=1, tasks=("t1", "t2"))
    book = apply(Playbook(), [add("Look at the total."), add(ASK), add(SORT)], source=source).playbook
    rewrite = Operation(op=Op.UPDATE, entry_ids=("e1",), texts=(PAY,), rationale="it was too vague")
    book = apply(book, [rewrite], source=Source(iteration=4, tasks=("t9",))).playbook
    book = count(book, [EntryVerdict(entry_id="e2", tag=Tag.HARMFUL)] * 3).playbook
    save(book, tmp_path / "book.json")
    return tmp_path / "book.json"


def edited(file: Path, name: str, *operations: Operation) -> Path:
    done = apply(load(file), operations)
    assert done.rejected == ()
    save(done.playbook, file.with_name(name))
    return file.with_name(name)


def test_show_prints_entries_or_a_view(file):
    code, out = run("show", file)
    assert code == 0 and PAY in out and "iteration 4: t9" in out and "3 entries in 1 sections" in out
    assert run("show", file, "--view", "agent") == (0, render(load(file)).text + "\n")
    code, out = run("show", file, "--view", "mutator", "--cap", "30")
    assert code == 0 and "no room for" in out and "(+0 -3)" not in out
    code, out = run("show", file, "--json")
    assert json.loads(out) == load(file).model_dump(mode="json")
    code, out = run("show", file, "--view", "agent", "--cap", "5", "--json")
    assert json.loads(out) == {"text": "", "tokens": 0, "left_out": ["e1", "e2", "e3"]}
    assert run("show", file, "--cap", "5")[0] == 2


def test_history_shows_former_texts_with_their_reasons(file):
    code, out = run("history", file)
    assert code == 0 and "Look at the total." in out and "it was too vague" in out and ASK not in out
    assert json.loads(run("history", file, "e1", "--json")[1])[0]["history"][0]["text"] == "Look at the total."
    assert [one["id"] for one in json.loads(run("history", file, "--from", "t9", "--json")[1])] == ["e1"]
    assert [one["id"] for one in json.loads(run("history", file, "--from", "t1", "--json")[1])] == ["e1", "e2", "e3"]
    code, out = run("history", file, "e9")
    assert code == 2 and "has no entry e9; it has e1, e2, e3" in out


def test_diff_says_what_changed(file):
    new = edited(
        file, "new.json", Operation(op=Op.DELETE, entry_ids=("e3",)), add("List every page until one is empty.")
    )
    code, out = run("diff", file, new)
    assert (
        code == 0
        and "added e4 [checks]" in out
        and "removed e3" in out
        and f"- (checks, revision 1, +0 -0) {SORT}" in out
    )
    assert [one["kind"] for one in json.loads(run("diff", file, new, "--json")[1])["changes"]] == ["added", "removed"]
    assert run("diff", file, file) == (0, "no difference\n")


def test_merge_writes_only_without_conflicts_or_with_a_preference(file, tmp_path):
    ours = edited(file, "ours.json", add("List every page until one is empty."))
    theirs = edited(file, "theirs.json", Operation(op=Op.UPDATE, entry_ids=("e3",), texts=(SORT + " Newest first.",)))
    out = tmp_path / "out.json"
    code, said = run("merge", file, ours, theirs, "--out", out)
    assert code == 0 and "4 entries, 0 conflicts" in said and len(load(out)) == 4
    other = edited(file, "other.json", Operation(op=Op.UPDATE, entry_ids=("e3",), texts=(SORT + " Oldest first.",)))
    out.unlink()
    code, said = run("merge", file, theirs, other, "--out", out)
    assert code == 1 and not out.exists()
    assert "conflict in e3: both sides rewrote it" in said and "theirs: Sort the list by date. Oldest first." in said
    code, said = run("merge", file, theirs, other, "--out", out, "--prefer", "theirs", "--json")
    assert code == 0 and json.loads(said)["conflicts"][0]["where"] == "e3"
    assert load(out).entries[2].text == SORT + " Oldest first."
    assert "nothing was written" in run("merge", file, ours, theirs)[1]


def test_lint_has_exit_status_1_for_findings(file, tmp_path):
    code, out = run("lint", file)
    assert code == 1 and "e2: never helpful: 3 times harmful" in out
    good = edited(file, "good.json", Operation(op=Op.DELETE, entry_ids=("e2",)))
    assert run("lint", good) == (0, "0 findings\n")
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps({"id": "t1", "input": "Sort it.", "answer": ["Sort the list by date."]}) + "\n")
    code, out = run("lint", good, "--tasks", tasks, "--json")
    assert code == 1 and [(one["problem"], one["entry_ids"]) for one in json.loads(out)] == [("leak", ["e3"])]
    tasks.write_text('{"id": "t1"}\n')
    code, out = run("lint", good, "--tasks", tasks)
    assert code == 2 and "line 1" in out and "input" in out


def test_prune_and_compact_say_what_went_and_write_when_told(file, tmp_path):
    out = tmp_path / "out.json"
    code, said = run("prune", file, "--threshold", 3)
    assert code == 0 and "1 entries removed, 2 left" in said and "nothing was written" in said
    assert run("prune", file, "--threshold", 3, "--out", out)[0] == 0 and len(load(out)) == 2
    assert json.loads(run("prune", file, "--threshold", 4, "--json")[1]) == {"removed": []}
    cap = render(load(file)).tokens - 1
    code, said = run("compact", file, "--cap", cap, "--out", out)
    assert code == 0 and f"no room under {cap} tokens" in said and [e.id for e in load(out).entries] == ["e1", "e3"]
    assert json.loads(run("compact", file, "--cap", 0, "--json")[1])["tokens"] == 0


def test_compact_lets_a_model_join_near_duplicates(file, tmp_path, monkeypatch):
    near = edited(file, "near.json", add("Sort the list by date first."))
    monkeypatch.setattr("cleartrace.llm.connect.connect", lambda spec: Scripted(["Sort each list by date first."]))
    out = tmp_path / "out.json"
    code, said = run("compact", near, "--cap", 1000, "--merge-with", "openai/any", "--out", out)
    assert code == 0 and "joined into e3" in said
    assert [entry.text for entry in load(out).entries][-1] == "Sort each list by date first."


def test_export_and_import_go_round(file, tmp_path):
    published, lines, again = tmp_path / "p.json", tmp_path / "ace.txt", tmp_path / "again.json"
    assert run("export", file, "--published", "--out", published)[0] == 0
    assert json.loads(published.read_text())["version"] == "1.0"
    assert run("import", published, "--out", again)[0] == 0
    assert [(e.id, e.text, e.harmful) for e in load(again).entries] == [
        (e.id, e.text, e.harmful) for e in load(file).entries
    ]
    code, text = run("export", file, "--ace")
    assert code == 0 and "[c-00002] helpful=0 harmful=3 :: Ask for the password first." in text
    lines.write_text(text)
    assert run("import", lines, "--out", again)[0] == 0 and [e.harmful for e in load(again).entries] == [0, 3, 0]
    assert run("export", file, "--text") == (0, render(load(file)).text + "\n")
    assert run("export", file, "--text", "--ace")[0] == 2
    lines.write_text("only words")
    assert "line 1: neither a heading nor an entry" in run("import", lines, "--out", again)[1]


@pytest.mark.parametrize("words", [["show"], ["lint"], ["history"], ["export", "--ace"], ["prune", "--threshold", "1"]])
def test_a_file_that_is_no_playbook_is_said_in_one_line(tmp_path, words):
    (tmp_path / "bad.json").write_text(
        '{"entries": [{"content": "a", "entry_id": "x"}, {"content": "b", "entry_id": "x"}]}'
    )
    code, out = run(words[0], tmp_path / "bad.json", *words[1:])
    assert code == 2 and out.startswith("error: ") and "share the ids x" in out and out.count("\n") == 1


def test_git_can_merge_playbooks_by_this_command(file, tmp_path):
    """Git calls a merge driver with base, ours and theirs, and takes what it wrote over ours."""
    repository = tmp_path / "repository"
    driver = f"'{sys.executable}' -m cleartrace.cli playbook merge %O %A %B --out %A"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}

    def git(*words: str) -> None:
        settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", f"merge.playbook.driver={driver}"]
        subprocess.run(["git", *settings, *words], cwd=repository, check=True, capture_output=True, env=environment)

    def commit(book: Playbook, message: str) -> None:
        save(book, repository / "book.json")
        git("add", ".")
        git("commit", "-m", message)

    repository.mkdir()
    git("init", "-b", "main")
    (repository / ".gitattributes").write_text("book.json merge=playbook\n")
    base = load(file)
    commit(base, "base")
    git("checkout", "-b", "other")
    commit(apply(base, [add("Theirs is new in this list.")]).playbook, "theirs")
    git("checkout", "main")
    commit(apply(base, [add("Ours is new in this list.")]).playbook, "ours")
    git("merge", "other")
    assert {entry.id for entry in load(repository / "book.json").entries} == {"e1", "e2", "e3", "e4", "e5"}
