"""A run of RCL that is killed and goes on leaves the same bytes as one that is not: real processes, SIGKILL, 20 points.

    python benchmarks/rcl_resume.py --points 20 --csv docs/results/rcl/resume.csv

The rule world with scripted learners and every primitive switched on. Each point is a run of its own: it is killed at a
random moment of its work, resumed, killed again with a chance of one half, and resumed to its end. Then playbook,
history and state are compared with those of the unbroken run, byte by byte.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

COMPARED = ("playbook.json", "best.json", "history.jsonl", "state.json")
SETTINGS = (
    "--iterations=12",
    "--batch-size=8",
    "--mini-batch=3",
    "--grouped-rollouts=3",
    "--dual-trace",
    "--auxiliary-losses",
    "--failure-replay-ratio=0.5",
    "--optimization-state",
    "--prune-threshold=3",
    "--playbook-budget=600",
    "--val-interval=3",
)
SLICE_S = 0.002


@dataclass(frozen=True)
class Row:
    """One point. `killed_s`: seconds of work until the first kill; `iteration`: finished by then; `files`: those that
    the broken iteration had already left; `runs_again`: agent runs beyond those of the unbroken run."""

    point: int
    kills: int
    killed_s: float
    iteration: int
    files: int
    runs_again: int
    equal: bool


def command(folder: Path, resume: bool) -> list[str]:
    where = ["--resume", str(folder)] if resume else ["ruleworld", *SETTINGS, "--output", str(folder)]
    return [sys.executable, "-m", "cleartrace.cli", "optimize", *where]


def run(folder: Path) -> float:
    """To its end; seconds of work, counted from the moment its folder is there."""
    return _work(folder, None)[0]


def kill(folder: Path, after_s: float) -> bool:
    """SIGKILL after so many seconds of work; False where it was done by then."""
    return _work(folder, after_s)[1]


def _work(folder: Path, after_s: float | None) -> tuple[float, bool]:
    resume = (folder / "state.json").exists()
    mark = folder / "ledger.jsonl"
    size = mark.stat().st_size if mark.exists() else 0
    with subprocess.Popen(command(folder, resume), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (mark.exists() and mark.stat().st_size > size):
            time.sleep(SLICE_S)
        began = time.monotonic()
        if after_s is not None:
            try:
                process.wait(after_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the run failed: {said.decode()}")
    return time.monotonic() - began, process.returncode != 0


def calls(folder: Path) -> int:
    """Agent runs that were made, from the ledger; a line that a kill tore is none."""
    made = 0
    for line in (folder / "ledger.jsonl").read_text().splitlines():
        try:
            made += json.loads(line)["entry"]["attempts"]
        except ValueError:
            continue
    return made


def finished(folder: Path) -> int:
    path = folder / "state.json"
    return json.loads(path.read_text())["iteration"] if path.exists() else 0


def point(number: int, unbroken: Path, folder: Path, seconds: float, draw: random.Random) -> Row:
    after_s, kills = draw.uniform(0.0, seconds), 0
    while not kill(folder, after_s):
        folder, after_s = folder.with_name(folder.name + "x"), after_s / 2
    kills, iteration = kills + 1, finished(folder)
    files = sum(path.is_file() for path in (folder / "iterations" / f"{iteration + 1:04d}").rglob("*"))
    if draw.random() < 0.5:
        kills += kill(folder, draw.uniform(0.0, seconds / 2))
    run(folder)
    equal = all((folder / name).read_bytes() == (unbroken / name).read_bytes() for name in COMPARED)
    return Row(number, kills, round(after_s, 3), iteration, files, calls(folder) - calls(unbroken), equal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cleartrace-resume-") as place:
        unbroken = Path(place) / "unbroken"
        seconds = run(unbroken)
        print(f"unbroken: {finished(unbroken)} iterations, {calls(unbroken)} runs, {seconds:.1f} s of work")
        rows = []
        for number in range(1, options.points + 1):
            draw = random.Random(f"{options.seed}:{number}")
            rows.append(point(number, unbroken, Path(place) / f"point{number}", seconds, draw))
            print(rows[-1], flush=True)
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    same = sum(row.equal for row in rows)
    print(f"{same} of {len(rows)} equal byte for byte; {sum(row.kills for row in rows)} kills")
    raise SystemExit(same != len(rows))


if __name__ == "__main__":
    main()
