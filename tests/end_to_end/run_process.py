"""Start a training as a user does, and find every process it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
MARK = "CLEARTRACE_TEST_RUN"
PATIENCE_S = 600.0


def start(run_dir: Path, *overrides: str) -> tuple[subprocess.Popen[bytes], str]:
    """The process and the value of `MARK` that it and all its descendants carry."""
    mark = uuid4().hex
    command = [sys.executable, "-m", "cleartrace_verl.main", "--recipe", "recipe/cleaner", "experiment=smoke"]
    with (run_dir.parent / f"{run_dir.name}-terminal.log").open("ab") as terminal:
        process = subprocess.Popen(
            [*command, f"cleartrace.run_dir={run_dir}", *overrides],
            cwd=ROOT,
            env={**os.environ, MARK: mark, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process, mark


def terminal_of(run_dir: Path) -> str:
    return (run_dir.parent / f"{run_dir.name}-terminal.log").read_text(errors="replace")


def finish(run_dir: Path, *overrides: str) -> str:
    """Run to the end and return what the terminal showed since the first run of this folder."""
    process, mark = start(run_dir, *overrides)
    try:
        status = process.wait(PATIENCE_S)
    finally:
        process.kill()
    assert status == 0, f"{terminal_of(run_dir)}\n{tail(run_dir / 'train.log')}"
    assert wait_until(lambda: not left(mark)), f"processes left: {left(mark)}"
    return terminal_of(run_dir)


def tail(path: Path, characters: int = 4000) -> str:
    return path.read_text(errors="replace")[-characters:] if path.exists() else f"no {path}"


def left(mark: str) -> list[tuple[int, str]]:
    """(pid, command line) of the living processes that carry `mark`."""
    return list(_marked(f"{MARK}={mark}".encode()))


def _marked(entry: bytes) -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100]
        except OSError:  # it ended while we looked, or is another user's
            continue


def wait_until(happened: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)
    return True


def rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSON-lines file; a half-written line fails."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def steps(run_dir: Path) -> list[int]:
    """Training steps in `metrics.jsonl`, in file order."""
    found = rows(run_dir / "metrics.jsonl")
    return [row["step"] for row in found if "timing_s/step" in row["data"]]
