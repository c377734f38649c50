"""`python -m cleartrace.report RUN_DIR`"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cleartrace.report.build import build_report
from cleartrace.report.load import ReportError


def main(argv: list[str] | None = None) -> int:
    """Write RUN_DIR/report.html and print its path. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cleartrace.report", description=main.__doc__)
    parser.add_argument("run_dir", type=Path, help="folder with config.yaml, metrics.jsonl, trajectories.jsonl")
    try:
        path = build_report(parser.parse_args(argv).run_dir)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
