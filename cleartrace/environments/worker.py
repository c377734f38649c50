"""One process that holds an environment: in a group of its own, asked with a time limit, ended at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cleartrace
from cleartrace.environments.host_process import KINDS, QUIT
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.llm.protocol import Message

Answer = Callable[[Sequence[Message]], Awaitable[str]]
"""Completes for a simulated user. Its time is not the environment's, and what it raises reaches the caller."""

_LONGEST_LINE = 256 * 2**20
_NOISE = 2**20
_TAIL = 2000

# Makes this cleartrace importable for any interpreter, and with it nothing else of the folder it lies in: another
# interpreter has packages of its own. The current folder is no place to import from.
_BOOT = """
import importlib.util, sys
sys.path[:] = [entry for entry in sys.path if entry]
spec = importlib.util.spec_from_file_location("cleartrace", sys.argv[1] + "/__init__.py",
                                              submodule_search_locations=[sys.argv[1]])
sys.modules["cleartrace"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from cleartrace.environments.host_process import main
main()
"""


class TimeLimit(EnvironmentFault):
    """An environment did not answer in time; its process is gone."""


class Worker:
    """A running process. Not for concurrent use."""

    def __init__(self, python: str | None, name: str) -> None:
        ours, theirs = socket.socketpair()
        self._name = name
        self._noise = tempfile.TemporaryFile("a+b")  # noqa: SIM115  # as long-lived as the process
        self._socket = ours
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.busy = False
        self.alive = True
        self.clean = True
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, "-c", _BOOT, str(Path(cleartrace.__file__).parent)],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._noise,
                env=_environ(python),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._noise.close()
            raise EnvironmentFault(f"the process of the environment {name} does not start: {error}") from None
        finally:
            theirs.close()

    @property
    def reusable(self) -> bool:
        """Nothing runs in it and no session is open."""
        return self.alive and self.clean and not self.busy

    async def call(self, method: str, limit_s: float, answer: Answer | None = None, **params: Any) -> Any:
        """The result of one request. Whatever ends it early, a cancellation too, ends the process with it.

        Raises: `TimeLimit` after `limit_s` seconds without those spent in `answer`; `EnvironmentFault`; ValueError and
        `MissingPackage` as the environment raised them; whatever `answer` raises.
        """
        self.busy = True
        try:
            reply = await self._converse({"method": method, "params": params}, limit_s, answer)
        except BaseException:
            self.kill()
            raise
        self.busy = False
        if "error" in reply:
            raised = KINDS[reply["kind"]]
            if raised is EnvironmentFault:
                self.kill()
            raise raised(reply["error"])
        return reply["result"]

    async def _converse(self, request: dict[str, Any], limit_s: float, answer: Answer | None) -> dict[str, Any]:
        deadline = time.monotonic() + limit_s
        await self._send(request)
        while True:
            try:
                reply = await asyncio.wait_for(self._receive(request["method"]), deadline - time.monotonic())
            except asyncio.TimeoutError:
                raise TimeLimit(f"{self._name}: no answer to `{request['method']}` in {limit_s:g} s") from None
            if "ask" not in reply:
                return reply
            if answer is None:
                raise EnvironmentFault(
                    f"{self._name} asks for a simulated user, and there is none: Host(..., user=llm)"
                )
            asked = time.monotonic()
            text = await answer([Message.model_validate(message) for message in reply["ask"]])
            deadline += time.monotonic() - asked
            await self._send({"answer": text})

    async def _send(self, message: dict[str, Any]) -> None:
        self._require_alive()
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(sock=self._socket, limit=_LONGEST_LINE)
        if os.fstat(self._noise.fileno()).st_size > _NOISE:
            self._noise.truncate(0)
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _require_alive(self) -> None:
        """Somebody may have ended the process while a call waited, and nothing of it can be used after that."""
        if not self.alive:
            raise EnvironmentFault(f"{self._name}: its process was ended: its host was closed, or its session left")

    async def _receive(self, method: str) -> dict[str, Any]:
        assert self._reader is not None
        try:
            line = await self._reader.readline()
        except (OSError, ValueError) as error:
            raise EnvironmentFault(f"{self._name}: the line to its process broke in `{method}`: {error}") from None
        self._require_alive()
        if not line:
            raise EnvironmentFault(f"{self._name}: its process ended in `{method}`. It last said: {self.last_words()}")
        try:
            reply = json.loads(line)
            if isinstance(reply, dict) and (reply.keys() & {"result", "ask"} or reply.get("kind") in KINDS):
                return reply
        except ValueError:
            pass
        raise EnvironmentFault(f"{self._name}: no answer but {line[:200]!r} to `{method}`")

    def last_words(self) -> str:
        """The end of what the process wrote to standard error."""
        size = os.fstat(self._noise.fileno()).st_size
        text = os.pread(self._noise.fileno(), _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace").strip()
        return text or "nothing"

    async def quit(self, limit_s: float) -> None:
        """Let the process clean up after itself, for so long."""
        if self.alive and not self.busy:
            with contextlib.suppress(asyncio.TimeoutError, EnvironmentFault):
                await self._send({"method": QUIT})
                await asyncio.wait_for(self._receive(QUIT), limit_s)
        self.kill()

    def kill(self) -> None:
        """End the process and all it started. May be called at any moment and more than once."""
        if not self.alive:
            return
        self.alive = False
        # Nobody has waited for the process yet, so its id is still its own, even when it has ended: the group that is
        # ended here is the one that was started here (R24).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            threading.Thread(target=self._process.wait, daemon=True).start()
        if self._writer is not None:
            self._writer.close()
        else:
            self._socket.close()
        self._noise.close()


def _environ(python: str | None) -> Mapping[str, str] | None:
    """Another interpreter must not look into this one's folders."""
    if python is None:
        return None
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
