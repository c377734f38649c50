"""The process that holds the `appworld` package: started when needed, asked with a time limit, ended on a fault."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from cleartrace.environments.protocol import EnvironmentFault

_SCRIPT = Path(__file__).with_name("worker.py")
_TAIL = 1000
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""Of the environment variables. Agents' code runs in this process, so no key or token may be among them."""


class TimeLimit(EnvironmentFault):
    """No answer in time; the process is gone."""


class Process:
    """One `worker.py`. It shares our process group and reads our pipe, so that it never outlives us."""

    def __init__(self, python: str, root: Path) -> None:
        self._noise = tempfile.TemporaryFile("a+b")  # noqa: SIM115  # as long-lived as the process
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.busy = False
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [python, str(_SCRIPT), str(root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._noise,
                cwd=root,
                env=environment | {"APPWORLD_ROOT": str(root)},
                encoding="utf-8",
            )
        except OSError as error:
            self._noise.close()
            raise EnvironmentFault(f"appworld: {python} does not start: {error}") from None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._answers.put(line)
        except ValueError:  # closed by `kill`
            pass
        self._answers.put("")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def call(self, name: str, limit_s: float, **arguments: Any) -> Any:
        """The result of one request. Whatever goes wrong ends the process, as nobody knows what state it is in.

        Raises: `TimeLimit`; `EnvironmentFault` with what the other side says.
        """
        self.busy = True
        try:
            return self._ask({"call": name, **arguments}, limit_s)
        except BaseException:
            self.kill()
            raise
        finally:
            self.busy = False

    def _ask(self, request: dict[str, Any], limit_s: float) -> Any:
        assert self._process.stdin is not None
        name = request["call"]
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._answers.get(timeout=limit_s))
        except queue.Empty:
            raise TimeLimit(f"appworld: no answer to `{name}` in {limit_s:g} s") from None
        except (OSError, ValueError):
            words = self._last_words()
            raise EnvironmentFault(f"appworld: its process ended in `{name}`. It last said: {words}") from None
        if "error" in answer:
            raise EnvironmentFault(f"appworld: {answer['error']}")
        return answer["result"]

    def _last_words(self) -> str:
        if self._noise.closed:
            return "nothing"
        size = os.fstat(self._noise.fileno()).st_size
        text = os.pread(self._noise.fileno(), _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace").strip()
        return text or "nothing"

    def kill(self) -> None:
        """May be called at any moment and more than once."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._noise):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass
