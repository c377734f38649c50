"""`health.py RUNS [MINUTES]`: exit status 0 while a run below RUNS goes on. For HEALTHCHECK and liveness probes.

A training that hangs writes nothing: no log, no metrics, no event. Unhealthy is therefore a newest file older than
MINUTES (default: CLEARTRACE_STALL_MINUTES, else 60), which must be longer than the longest step with its evaluation.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

GROWING = ("train.log", "metrics.jsonl", "events.jsonl", "trajectories.jsonl")
DEFAULT_MINUTES = 60.0


def seconds_since_last_write(runs: Path, now: float) -> float | None:
    """Age of the newest growing file of any run; None when there is no run yet."""
    times = [path.stat().st_mtime for name in GROWING for path in runs.glob(f"*/{name}")]
    return now - max(times) if times else None


def main(arguments: list[str]) -> int:
    runs = Path(arguments[0])
    limit = float(arguments[1] if len(arguments) > 1 else os.environ.get("CLEARTRACE_STALL_MINUTES") or DEFAULT_MINUTES)
    age = seconds_since_last_write(runs, time.time())
    if age is None:
        print(f"no run below {runs} yet")
        return 0
    print(f"last write {age:.0f} s ago; unhealthy after {limit:g} min")
    return 0 if age <= 60 * limit else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
