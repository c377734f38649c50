"""A run's calls as JSON lines, and the same run again without any endpoint."""

from __future__ import annotations

from collections import defaultdict, deque
from os.path import commonprefix
from pathlib import Path
from typing import Any

from cleartrace.episodes.types import Usage
from cleartrace.llm import protocol
from cleartrace.llm.cached import request_key
from cleartrace.llm.endpoint import charged
from cleartrace.llm.journal import Lines, read_lines
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import LLM, LLMError, RateLimited, Reply, Request

SCHEMA_VERSION = 1
_SHOWN = 160


class NotRecorded(LLMError):
    """A replay was asked for what the recording does not hold."""


class Recording:
    """Appends every call with its reply or its final error. Several writers may share the file."""

    def __init__(self, llm: LLM, path: Path) -> None:
        self._llm = llm
        self._lines = Lines(path)

    @property
    def model(self) -> str:
        return self._llm.model

    async def close(self) -> None:
        self._lines.close()
        await self._llm.close()

    async def complete(self, request: Request) -> Reply:
        """Raises what the endpoint raises."""
        try:
            reply = await self._llm.complete(request)
        except LLMError as error:
            self._add(request, {"error": _error_row(error)})
            raise
        self._add(request, {"reply": reply.model_dump(mode="json")})
        return reply

    def _add(self, request: Request, outcome: dict[str, Any]) -> None:
        asked = {"model": self.model, "request": request.model_dump(mode="json")}
        self._lines.add({"schema_version": SCHEMA_VERSION, **asked, **outcome})


class Replaying:
    """Gives each recorded call once, exactly as it was, errors too. Equal calls come in the order of the recording.

    Raises FileNotFoundError without the file, ValueError when it holds no call of `model`.
    """

    def __init__(self, path: Path, model: str, ledger: Ledger | None = None) -> None:
        self._path = path
        self._model = model
        self._ledger = ledger
        self._left: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self._asked: dict[str, Request] = {}
        models = set()
        for row in read_lines(path):
            models.add(row.get("model"))
            if row.get("schema_version") == SCHEMA_VERSION and row.get("model") == model:
                request = Request.model_validate(row["request"])
                key = _key(model, request)
                self._asked[key] = request
                self._left[key].append(row)
        if not self._left:
            held = ", ".join(sorted(map(str, models))) or "none"
            raise ValueError(f"{path} holds no call of {model}; it holds calls of: {held}")

    @property
    def model(self) -> str:
        return self._model

    async def close(self) -> None:
        """Nothing is held open."""

    async def complete(self, request: Request) -> Reply:
        """Raises the recorded error, or `NotRecorded`, which shows the nearest call."""
        left = self._left.get(_key(self._model, request))
        if not left:
            raise NotRecorded(self._nearest(request))
        row = left.popleft()
        error = _error_of(row["error"]) if "error" in row else None
        usage = error.usage if error else Usage.model_validate(row["reply"]["usage"])
        if self._ledger is not None:
            self._ledger.add(request.role, Account(hits=1, saved=usage))
        if error:
            raise error
        return Reply.model_validate(row["reply"])

    def _nearest(self, request: Request) -> str:
        key, asked = _key(self._model, request), request.canonical()
        if key in self._asked:
            return f"{self._path}: this call of role {request.role.value} is asked more often than it was recorded"

        def shared(text: str) -> int:
            return len(commonprefix([text, asked])) + len(commonprefix([text[::-1], asked[::-1]]))

        nearest = max((recorded.canonical() for recorded in self._asked.values()), key=shared)
        start = max(0, len(commonprefix([nearest, asked])) - 30)
        return (
            f"{self._path} holds no such call of role {request.role.value}. From where the nearest one differs:\n"
            f"  asked:    {asked[start : start + _SHOWN]}\n  recorded: {nearest[start : start + _SHOWN]}"
        )


def _key(model: str, request: Request) -> str:
    return f"{request.role.value} {request_key(model, request)}"


def _error_row(error: LLMError) -> dict[str, Any]:
    row = {"kind": type(error).__name__, "message": str(error), "usage": error.usage.model_dump(mode="json")}
    if isinstance(error, RateLimited):
        row["wait_s"] = error.wait_s
    if isinstance(error, protocol.BudgetExhausted):
        row["message"] = error.limit
    return row


def _error_of(row: dict[str, Any]) -> LLMError:
    kind = getattr(protocol, row["kind"], LLMError)
    kind = kind if isinstance(kind, type) and issubclass(kind, LLMError) else LLMError
    error = kind(row["message"], row.get("wait_s")) if issubclass(kind, RateLimited) else kind(row["message"])
    return charged(error, Usage.model_validate(row["usage"]))
