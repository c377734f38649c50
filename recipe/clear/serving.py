"""A model folder behind `cleartrace serve` on loopback, for the time of a block."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "cam"
_ADDRESS = re.compile(r"at (http://\S+/v1)")


@contextmanager
def served(model: Path, log: Path) -> Iterator[str]:
    """The model as the context provider names it: `openai/cam@URL`.

    Raises:
        RuntimeError: it did not start; says why.
    """
    command = [sys.executable, "-m", "cleartrace.cli", "serve", "--model", str(model), "--port", "0", "--name", NAME]
    # As in the rollouts of GRPO; in bf16 a sharply tuned small model strays too far for the engine's own check.
    command += ["--dtype", "float32"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            said: list[str] = []
            found = next((match for line in process.stdout if (match := _ADDRESS.search(_kept(line, said)))), None)
            if found is None:
                raise RuntimeError(f"{model} could not be served: {' '.join(said[-3:]).strip() or f'see {log}'}")
            yield f"openai/{NAME}@{found[1]}"
        finally:
            process.terminate()
            process.wait()


def _kept(line: str, lines: list[str]) -> str:
    lines.append(line.strip())
    return line
