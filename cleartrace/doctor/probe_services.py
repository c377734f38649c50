"""Starts what a run starts (queue, judge, the veRL layer), for a moment, and stops it again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cleartrace.doctor.facts import Trial, VerlFacts

PROBE_S = 180
PROGRAM, PRINTED = "print(sum(range(10)))", "45"


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send descriptor 1 to nowhere: the server writes a line there, which would stand before the JSON."""
    sys.stdout.flush()
    saved, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)


def try_valkey() -> Trial:
    try:
        from code_judge.valkey import EmbeddedValkey
    except ImportError as error:
        return Trial(False, _first_line(error))
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        try:
            server = EmbeddedValkey(Path(folder))
            with _quiet():
                server.start()
        except (RuntimeError, ValueError, OSError) as error:
            return Trial(False, _first_line(error))
        server.stop()
    return Trial(True, "starts and answers")


def try_judge() -> Trial:
    """Run a program through the whole judge: API, queue, worker, isolation."""
    try:
        from code_judge.client import JudgeUnavailable
        from code_judge.embedded import EmbeddedJudge
    except ImportError as error:
        return Trial(False, _first_line(error))
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        try:
            with EmbeddedJudge(folder, workers=1) as judge:
                return asyncio.run(_canary(judge.url, judge.token))
        except (JudgeUnavailable, OSError) as error:
            return Trial(False, _first_line(error))


async def _canary(url: str, token: str) -> Trial:
    from code_judge.client import AsyncJudgeClient

    async with AsyncJudgeClient(url, token) as client:
        started = time.perf_counter()
        result = await client.run(PROGRAM, deadline_s=30)
        took = time.perf_counter() - started
    if result.stdout.strip() != PRINTED:
        said = result.detail or result.stderr or result.stdout
        return Trial(False, f"{PROGRAM} gave {result.outcome.value}: {said.strip()[:200]}")
    return Trial(True, f"a program ran in {took * 1000:.0f} ms, isolation {result.isolation}")


def ask_verl(policy: Path) -> VerlFacts:
    """Ask the veRL layer in a process of its own, because importing it here would cost seconds and may fail."""
    command = [sys.executable, "-m", "cleartrace_verl.doctor_probe", str(policy)]
    env = {"OMP_NUM_THREADS": "1", **os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, env=env)
    except subprocess.TimeoutExpired:
        return VerlFacts(error=f"the probe did not answer within {PROBE_S} s")
    return read_answer(done.returncode, done.stdout, done.stderr)


def read_answer(status: int, stdout: str, stderr: str) -> VerlFacts:
    """The probe's answer is its last line; libraries may print before it."""
    lines = stdout.strip().splitlines()
    if status != 0 or not lines:
        said = (stderr.strip() or stdout.strip() or "nothing").splitlines()[-1]
        return VerlFacts(error=f"the probe ended with status {status}: {said}")
    try:
        return VerlFacts.from_json(json.loads(lines[-1]))
    except (ValueError, KeyError, TypeError) as error:
        return VerlFacts(error=f"the probe's answer cannot be read ({_first_line(error)}): {lines[-1][:200]}")
