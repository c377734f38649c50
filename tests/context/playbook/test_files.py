"""Playbooks in files, and those of others."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from cleartrace.context.playbook.ace import read_ace, to_ace
from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.files import from_json, load, published, save, to_text
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Entry, Playbook, Source
from cleartrace.data.errors import DataError
from tests.context.playbook.strategies import PLAYBOOKS

PUBLISHED = {
    "version": "1.0",
    "entries": [
        {
            "content": "Read {the} total.",
            "section": "checks",
            "entry_id": "0f3a9c12",
            "helpful_count": 3,
            "harmful_count": 1,
        },
        {"content": "Pay once.", "origin": "by hand"},
    ],
}


@settings(max_examples=40, deadline=None)
@given(PLAYBOOKS)
def test_a3_a_playbook_survives_its_file(playbook):
    assert from_json(json.loads(to_text(playbook))) == playbook


def test_a3_unknown_fields_survive(tmp_path):
    entry = Entry.model_validate({"id": "e1", "section": "a", "text": "Read it.", "colour": "red"})
    book = Playbook.model_validate({"entries": [entry], "next_id": 2, "owner": {"name": "x"}})
    save(book, tmp_path / "sub" / "book.json")
    again = load(tmp_path / "sub" / "book.json")
    assert again == book and again.model_dump()["owner"] == {"name": "x"}
    assert (
        apply(again, [Operation(op=Op.UPDATE, entry_ids=("e1",), texts=("Read it all.",))])
        .playbook.entries[0]
        .model_dump()["colour"]
        == "red"
    )


def test_the_published_form_is_read_and_written(tmp_path):
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(PUBLISHED))
    book = load(path)
    assert [(entry.id, entry.section, entry.helpful, entry.harmful) for entry in book.entries] == [
        ("0f3a9c12", "checks", 3, 1),
        ("e1", "others", 0, 0),
    ]
    assert book.entries[1].model_dump()["origin"] == "by hand"
    assert published(book)["entries"][0] == PUBLISHED["entries"][0]
    assert from_json(published(book)) == book


def test_s7_ids_that_entries_share_are_named():
    twice = {"entries": [{"content": "a", "entry_id": "e7"}, {"content": "b", "entry_id": "e7"}]}
    with pytest.raises(DataError, match="entries share the ids e7"):
        from_json(twice)
    with pytest.raises(DataError, match="e7"):
        from_json({"schema_version": 2, "entries": [{"id": "e7", "section": "a", "text": "b"}] * 2})


def test_ids_go_on_after_the_largest_in_a_file():
    book = from_json({"entries": [{"content": "Read the total.", "entry_id": "e41"}]})
    assert apply(book, [Operation(op=Op.ADD, texts=("Another piece of advice.",))]).playbook.entries[-1].id == "e42"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "not a playbook"),
        ('{"entries": {}}', "not a playbook"),
        ('{"schema_version": 3, "entries": []}', "schema version 3; this cleartrace reads up to 2"),
        ('{"version": "2.0", "entries": []}', "version '2.0' of a published playbook"),
        ('{"entries": ["a"]}', "entry 0 is no object"),
        ('{"entries": [{"section": "a"}]}', "entry 0 has no content"),
        ('{"entries": [{"content": 5}]}', "entries.0.text"),
    ],
)
def test_files_that_are_no_playbook_are_refused_in_words(tmp_path, text, message):
    (tmp_path / "book.json").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path / "book.json")
    assert "book.json" in str(caught.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        load(tmp_path / "none.json")


def test_r27_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "book.json"
    save(Playbook(), path)
    before = path.read_bytes()

    def broken(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="full"):
        save(Playbook(entries=(Entry(id="e1", section="a", text="b"),)), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_file_differs_by_lines(tmp_path):
    """For Git: an entry more touches no line of the others but the comma behind the last one."""
    one = apply(Playbook(), [Operation(op=Op.ADD, texts=("Read the total.",))], source=Source(iteration=1)).playbook
    two = apply(one, [Operation(op=Op.ADD, texts=("Pay only once.",))], source=Source(iteration=2)).playbook
    missing = [line for line in to_text(one).splitlines() if line not in to_text(two).splitlines()]
    assert missing == [' "next_id": 2']


ACE = """## STRATEGIES AND HARD RULES
[shr-00001] helpful=3 harmful=1 :: Read the [total] twice.
[shr-00002] helpful=0 harmful=0 :: A text
  of two lines

## OTHERS
- [misc-00009] Pay once :: or never.
"""


def test_ace_playbooks_are_read_and_written():
    book = read_ace(ACE)
    assert [(entry.id, entry.section, entry.helpful, entry.harmful, entry.text) for entry in book.entries] == [
        ("shr-00001", "strategies_and_hard_rules", 3, 1, "Read the [total] twice."),
        ("shr-00002", "strategies_and_hard_rules", 0, 0, "A text\nof two lines"),
        ("misc-00009", "others", 0, 0, "Pay once :: or never."),
    ]
    lines = to_ace(book).splitlines()
    assert "## STRATEGIES AND HARD RULES" in lines
    assert "[shr-00001] helpful=3 harmful=1 :: Read the [total] twice." in lines
    assert "[shr-00002] helpful=0 harmful=0 :: A text of two lines" in lines
    assert {entry.id for entry in read_ace(to_ace(book)).entries} == {entry.id for entry in book.entries}


def test_ids_of_ours_become_those_of_ace():
    entries = tuple(Entry(id=id, section="common_mistakes", text=f"Text {id}.") for id in ("e12", "x12", "0f3a9c1b"))
    assert [line.split("]")[0] for line in to_ace(Playbook(entries=entries)).splitlines()[1:]] == [
        "[cm-00012",
        "[cm-00013",
        "[cm-00001",
    ]


def test_a_line_that_is_no_ace_entry_is_named():
    with pytest.raises(DataError, match="line 2: neither a heading nor an entry"):
        read_ace("## A\nhello\n")
    with pytest.raises(DataError, match="share the ids a-00001"):
        read_ace("[a-00001] x\n[a-00001] y")
