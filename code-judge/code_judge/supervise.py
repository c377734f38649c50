"""`python -m code_judge.supervise`: one worker process, started by `serve` and `workers`.

Apart from the command line, whose libraries a worker would carry for nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from code_judge.settings import LOG_FORMAT, QUEUE_ENV, Settings
from code_judge.worker import WorkerConfig, run_worker


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--replaces", default="")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    queue = os.environ[QUEUE_ENV]
    # Nothing below this process needs them, and a forked run must not even briefly hold them in its environment.
    for name in (QUEUE_ENV, "REDIS_URI", "CODE_JUDGE_TOKEN"):
        os.environ.pop(name, None)
    config = WorkerConfig(queue, options.slots, Settings.from_env(), options.run_dir, options.token, options.replaces)
    run_worker(config)


if __name__ == "__main__":
    main()
