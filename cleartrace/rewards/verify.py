"""Symbolic equality of two answers, with a limit that holds in any thread: math-verify in a worker process."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

MAX_CHARS = 1000
"""Longer answers are not handed to the parser: its grammar is slow, and no known answer key is that long."""

START_S = 60.0
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])


class VerifierUnavailable(RuntimeError):
    """The worker process cannot be used; says nothing about the answer."""


class WorkerDied(VerifierUnavailable):
    """The worker process ended over a request."""


@dataclass(frozen=True)
class Verdict:
    """`error` is "" or why no comparison was possible: "too_long", "timeout", "crash", or the parser's exception."""

    equal: bool
    error: str = ""


class Verifier:
    """Owns one worker process, started at the first request and again after a kill. Thread-safe, one request at a time.

    `cpu_s`: CPU seconds of the worker for one pair; exceeding it is the answer's fault (Verdict.error "timeout").
    `wall_s`: wall seconds after which the worker counts as broken; raises `VerifierUnavailable`.
    """

    def __init__(self, cpu_s: float = 5.0, wall_s: float = 60.0) -> None:
        self.cpu_s = cpu_s
        self.wall_s = wall_s
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._buffer = b""

    def compare(self, gold: str, answer: str) -> Verdict:
        """Compare with a limit. A worker that fails is replaced once.

        An answer that ended two workers while a third compares 1 and 1 is the cause: wrong, "crash". Else a model
        could choose to be left ungraded.

        Errors: `VerifierUnavailable` when workers could not start, died of a foreign cause or did not answer.
        """
        if max(len(gold), len(answer)) > MAX_CHARS:
            return Verdict(False, "too_long")
        try:
            return self._ask(gold, answer)
        except VerifierUnavailable:
            pass
        try:
            return self._ask(gold, answer)
        except WorkerDied:
            self._ask("1", "1")
            return Verdict(False, "crash")

    def _ask(self, gold: str, answer: str) -> Verdict:
        if self._owner != os.getpid():
            # After a fork the pipe belongs to the parent process, and its lock may be held there for ever.
            self._reset()
        with self._lock:
            process = self._running()
            request = json.dumps({"gold": gold, "answer": answer, "cpu_s": self.cpu_s}) + "\n"
            try:
                assert process.stdin is not None
                process.stdin.write(request.encode())
            except BrokenPipeError as error:
                raise self._broken("died between two requests") from error
            return self._verdict(process)

    def close(self) -> None:
        """Stop the worker. The next `compare` starts a new one."""
        with self._lock:
            self._stop()

    def _verdict(self, process: subprocess.Popen[bytes]) -> Verdict:
        reply = self._read(process, self.wall_s)
        if reply is not None:
            return Verdict(bool(reply["equal"]), reply.get("error", ""))
        if process.wait(timeout=10) == -signal.SIGPROF:
            self._stop()
            return Verdict(False, "timeout")
        raise self._broken(f"ended with status {process.returncode}", WorkerDied)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            search_path = os.pathsep.join(filter(None, (_PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cleartrace.rewards.verify_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": search_path},
            )
            self._buffer = b""
            if self._read(self._process, START_S) is None:
                raise self._broken("did not start; is math-verify installed?")
        return self._process

    def _read(self, process: subprocess.Popen[bytes], limit_s: float) -> dict | None:
        """One reply, or None at end of file."""
        assert process.stdout is not None
        deadline = time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise self._broken(f"gave no answer within {limit_s:g} s")
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _broken(self, what: str, kind: type[VerifierUnavailable] = VerifierUnavailable) -> VerifierUnavailable:
        self._stop()
        return kind(f"the math-verify worker process {what}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@lru_cache(maxsize=1)
def shared_verifier() -> Verifier:
    """The verifier of this process."""
    return Verifier()
