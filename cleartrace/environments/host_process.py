"""The far end of a `Host`: one environment in a process of its own, asked through JSON lines on its standard streams.

Needs pydantic and nothing else of cleartrace's requirements. What a package prints goes to standard error.

Request `{"method", "params"}`, answer `{"result"}` or `{"error", "kind"}`. While a request runs, `{"ask": [message]}`
may come instead, and wants `{"answer": text}`.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any, BinaryIO

from pydantic import ValidationError

from cleartrace.environments.protocol import Action, Environment, EnvironmentFault, Session
from cleartrace.environments.registry import MissingPackage, load
from cleartrace.llm.protocol import Message, Role

QUIT = "quit"
KINDS = {"value": ValueError, "missing": MissingPackage, "fault": EnvironmentFault}
"""How a failure is called on the line, and what it is raised as on the near side."""


class Line:
    """The connection. A thread reads it, so that the end of the parent ends this process whatever runs here."""

    def __init__(self) -> None:
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        source = os.fdopen(os.dup(0), "rb")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def _read(self, source: BinaryIO) -> None:
        for line in source:
            self._messages.put(json.loads(line))
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def receive(self) -> dict[str, Any]:
        return self._messages.get()

    def send(self, message: dict[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            data = data[self._out.write(data) :]

    def complete(self, messages: Sequence[Message]) -> str:
        self.send({"ask": [message.model_dump(mode="json") for message in messages]})
        return self.receive()["answer"]


class Server:
    """The environment, built once, and the one session that is open in it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._environment: Environment | None = None
        self._session: Session | None = None

    @property
    def environment(self) -> Environment:
        if self._environment is None:
            raise RuntimeError("a session before `open`")
        return self._environment

    @property
    def session(self) -> Session:
        if self._session is None:
            raise RuntimeError("no session is open")
        return self._session

    def open(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        made = self._environment = load(name, complete=self._line.complete, **options)
        return {
            "name": made.name,
            "domain": made.domain,
            "sections": dict(made.sections),
            "version": str(getattr(made, "version", "")),
            "idle_passes": sorted(getattr(made, "idle_passes", ())),
            "needs_user": bool(getattr(made, "needs_user", False)),
            "asks_as": Role(getattr(made, "asks_as", Role.USER)).value,
        }

    def tasks(self, split: str | None) -> list[Any]:
        return [task.model_dump(mode="json") for task in self.environment.tasks(split)]

    def gold(self, task_id: str, seed: int) -> list[Any] | None:
        actions = self.environment.gold(task_id, seed)
        return None if actions is None else [action.model_dump(mode="json") for action in actions]

    def start(self, task_id: str, seed: int) -> dict[str, Any]:
        self.end()
        self._session = self.environment.session(task_id, seed)
        return self.session.start().model_dump(mode="json")

    def act(self, action: dict[str, Any]) -> dict[str, Any]:
        return self.session.act(Action.model_validate(action)).model_dump(mode="json")

    def outcome(self) -> dict[str, Any]:
        return self.session.outcome().model_dump(mode="json")

    def end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": getattr(self, request["method"])(**request["params"])}
        except tuple(KINDS.values()) as error:
            if isinstance(error, ValueError) and not _callers(error, request["method"]):
                return _broken(error)
            return {
                "error": str(error),
                "kind": next(kind for kind, raised in KINDS.items() if isinstance(error, raised)),
            }
        except Exception as error:
            return _broken(error)


def _callers(error: ValueError, method: str) -> bool:
    """Whether a ValueError is about what was asked for: an option or a task, and not a defect of an adapter."""
    return method == "open" or (method in ("tasks", "gold", "start") and not isinstance(error, ValidationError))


def _broken(error: Exception) -> dict[str, Any]:
    """A fault of the adapter or its package: with the place, since nobody expected it."""
    traceback.print_exc()
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"
    return {"error": f"{type(error).__name__}: {error} ({where})", "kind": "fault"}


def main() -> None:
    line = Line()
    server = Server(line)
    while (request := line.receive()).get("method") != QUIT:
        line.send(server.answer(request))
    server.end()
    sys.exit(0)
