"""A run of RCL that is killed and goes on leaves the same bytes as one that is not: real processes, SIGKILL, 20 points.

    python benchmarks/rcl_resume.py --points 20 --csv docs/results/rcl/resume.csv

The rule world with scripted learners and every primitive switched on. Each point is a run of its own: it is killed at a
random moment of its work, resumed, killed again with a chance of one half, and resumed to its end. Then playbook, best,
history and state are compared with those of the unbroken run, byte by byte. A moment is so many agent runs in the
ledger and up to 30 ms more, so that the load of the machine does not decide where the kills fall.
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
SLICE_S, JITTER_S = 0.001, 0.03


@dataclass(frozen=True)
class Row:
    """One point. `after`: agent runs until the first kill, of `of`; `iteration`: finished by then; `files`: those that
    the broken iteration had already left; `runs_again`: agent runs beyond those of the unbroken run."""

    point: int
    kills: int
    after: int
    of: int
    iteration: int
    files: int
    runs_again: int
    equal: bool


def command(folder: Path) -> list[str]:
    resume = (folder / "state.json").exists()
    where = ["--resume", str(folder)] if resume else ["ruleworld", *SETTINGS, "--output", str(folder)]
    return [sys.executable, "-m", "cleartrace.cli", "optimize", *where]


def run(folder: Path) -> None:
    """To its end."""
    done = subprocess.run(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the run failed: {done.stderr}")


def kill(folder: Path, after: int, delay_s: float) -> bool:
    """SIGKILL once so many agent runs are in the ledger, and a little later; False where it was done by then."""
    mark = folder / "ledger.jsonl"
    with subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (mark.exists() and mark.read_bytes().count(b"\n") >= after):
            time.sleep(SLICE_S)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


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


def point(number: int, unbroken: Path, folder: Path, draw: random.Random) -> Row:
    total = calls(unbroken)
    after = draw.randint(1, total)
    kills = int(kill(folder, after, draw.uniform(0.0, JITTER_S)))
    iteration = finished(folder)
    files = sum(path.is_file() for path in (folder / "iterations" / f"{iteration + 1:04d}").rglob("*"))
    if draw.random() < 0.5:
        kills += kill(folder, draw.randint(after, total), draw.uniform(0.0, JITTER_S))
    run(folder)
    equal = all((folder / name).read_bytes() == (unbroken / name).read_bytes() for name in COMPARED)
    return Row(number, kills, after, total, iteration, files, calls(folder) - total, equal)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cleartrace-resume-") as place:
        unbroken = Path(place) / "unbroken"
        run(unbroken)
        print(f"unbroken: {finished(unbroken)} iterations, {calls(unbroken)} runs")
        rows = []
        for number in range(1, options.points + 1):
            draw = random.Random(f"{options.seed}:{number}")
            rows.append(point(number, unbroken, Path(place) / f"point{number}", draw))
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
