"""Files that are written whole, and their hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cleartrace.data.files import file_sha256, whole_file


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as draft:
        draft.write_text("all of it")
        assert not path.exists()
    assert [found.name for found in path.parent.iterdir()] == ["a.txt"] and path.read_text() == "all of it"


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as draft:
        draft.write_text("ha")
        raise KeyboardInterrupt
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 21) + 5])
def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    path, content = tmp_path / "a.bin", bytes(range(251)) * (size // 251 + 1)
    path.write_bytes(content[:size])
    assert file_sha256(path) == hashlib.sha256(content[:size]).hexdigest()
