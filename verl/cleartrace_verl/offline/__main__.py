"""`python -m cleartrace_verl.offline COMMAND JSON`: what `cleartrace eval`, `passrate` and `serve` become.

The settings come as one JSON object, checked again here: see `cleartrace.evaluate.settings`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

# Before torch is imported: one thread per process unless told otherwise, no hub, no telemetry.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402

EXIT_FAILED, EXIT_SETTINGS, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 done, 1 failed while running, 2 unusable settings, data or folder, 130 interrupted."""
    command, text = argv
    console = Console(highlight=False)
    # By name: a shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(command, text, console)
    except KeyboardInterrupt:
        console.print("Interrupted. What was finished is kept; the same command resumes.")
        return EXIT_INTERRUPTED


def _interrupt(signum: int, frame: object) -> None:
    del signum, frame
    raise KeyboardInterrupt


def _run(command: str, text: str, console: Console) -> int:
    from cleartrace_verl.offline.errors import SETTINGS_ERRORS, STOPPING_ERRORS

    try:
        _dispatch(command, text, console)
    except SETTINGS_ERRORS as error:
        console.print(f"[red]Cannot start:[/red] {escape(str(error))}", soft_wrap=True)
        return EXIT_SETTINGS
    except STOPPING_ERRORS as error:
        console.print(f"[red]Stopped:[/red] {escape(str(error))}", soft_wrap=True)
        console.print("What was finished is kept; the same command resumes.")
        return EXIT_FAILED
    return 0


def _dispatch(command: str, text: str, console: Console) -> None:
    from transformers.utils import logging

    from cleartrace.evaluate.settings import EvalSettings, PassrateSettings, ServeSettings

    logging.disable_progress_bar()
    if command == "serve":
        from cleartrace_verl.offline.serve import serve

        serve(ServeSettings.model_validate_json(text), console)
        return
    from cleartrace_verl.offline.commands import run_eval, run_passrate

    if command == "eval":
        run_eval(EvalSettings.model_validate_json(text), console)
    else:
        run_passrate(PassrateSettings.model_validate_json(text), console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
