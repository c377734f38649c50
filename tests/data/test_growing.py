"""Lines that were added are there after any death, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from cleartrace.data.growing import LineFile, cut_torn_line


def test_a_torn_line_longer_than_a_block_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"whole": 1}\n' + b"y" * 200_000)
    assert cut_torn_line(path) and path.read_bytes() == b'{"whole": 1}\n'
    assert not cut_torn_line(path)
    path.write_bytes(b"z" * 70_000)
    assert cut_torn_line(path) and path.read_bytes() == b""


def test_a_line_is_in_the_file_when_it_was_added(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.jsonl"
    with LineFile(path) as file:
        file.add("one")
        assert path.read_bytes() == b"one\n"
    path.write_bytes(b"one\ntw")
    with LineFile(path) as file:
        file.add("three \ud800")
    assert path.read_bytes() == b"one\nthree \\ud800\n"
