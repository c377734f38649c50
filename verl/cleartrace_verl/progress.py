"""Shows a running training on the terminal by reading the files it writes."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console

POLL_S = 0.5


class Tail:
    """New complete JSON lines of a growing file."""

    def __init__(self, path: Path):
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        if self._path.stat().st_size < self._offset:
            self._offset = 0  # a resumed run has cut the file
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        return [json.loads(line) for line in data[:end].splitlines()]


class Progress:
    """A line per event while the `with` block runs."""

    def __init__(self, run_dir: Path, console: Console, token_budget: int | None = None):
        self._console = console
        self._token_budget = token_budget
        self._metrics = Tail(run_dir / "metrics.jsonl")
        self._events = Tail(run_dir / "events.jsonl")
        self._total = 0
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        self._say("starting Ray, the trainer and the rollout engine (about 40 s)")
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            self._look()

    def _look(self) -> None:
        for event in self._events.read():
            self._total = event["total"]
            if event["event"] == "validate":
                self._say(f"solving held-out tasks at step {event['step']}")
        for row in self._metrics.read():
            for line in describe(row["step"], self._total, row["data"], self._token_budget):
                self._say(line)

    def _say(self, text: str) -> None:
        seconds = int(time.monotonic() - self._started)
        clock = f"[dim]{seconds // 60:3d}:{seconds % 60:02d}[/dim]"
        self._console.print(f"{clock}  {text}", highlight=False, soft_wrap=True)


def steps_left(step: int, total: int, generated: float, token_budget: int | None) -> int:
    """Steps until `total`, or until the budget at the mean number of tokens per step so far, whichever comes first."""
    left = max(total - step, 0)
    if token_budget is None or not generated:
        return left
    return min(left, math.ceil(max(token_budget - generated, 0) * step / generated))


def describe(step: int, total: int, data: dict[str, float], token_budget: int | None = None) -> list[str]:
    """Terminal lines for one row of metrics."""
    lines = []
    if (solved := data.get("cleartrace/train/acc")) is not None:
        seconds = data.get("timing_s/step", 0.0)
        remaining = steps_left(step, total, data.get("cleartrace/generated_tokens_cum", 0), token_budget)
        left = int(seconds * remaining)
        parts = [
            f"step {step:3d}/{step + remaining}",
            f"solved {solved:5.1%}",
            f"failed calls {data.get('tool_calls/failures_per_trajectory', 0.0):.2f} per trajectory",
            f"repaired {data.get('rollback/global_recovered', 0):.0f}",
            *([f"pairs right {data['actor/ca/acc']:.0%}"] if "actor/ca/acc" in data else []),
            f"{seconds:.1f} s",
            f"about {left // 60}:{left % 60:02d} left",
        ]
        lines.append("  ".join(parts))
    for prefix, label in (("cleartrace/val", "held-out"), ("cleartrace/val_on", "held-out with rollback")):
        if (solved := data.get(f"{prefix}/acc")) is not None:
            failed = data.get(f"{prefix}/first_call_failure_rate")
            calls = "" if failed is None else f", first calls failed {failed:.1%}"
            lines.append(f"[bold]{label} solved {solved:.1%}[/bold] of {data.get(f'{prefix}/n', 0):.0f}{calls}")
    if (right := data.get("actor/ca/val_acc")) is not None:
        pairs = data["actor/ca/val_pairs"]
        lines.append(f"[bold]held-out pairs right {right:.1%}[/bold] of {pairs:.0f}, both orders")
    return lines
