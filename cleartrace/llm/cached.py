"""Replies on disk by what was asked: the same request is paid once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cleartrace.episodes.types import Usage
from cleartrace.llm.endpoint import charged
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import LLM, Refused, Reply, Request

SCHEMA_VERSION = 1


def request_key(model: str, request: Request) -> str:
    """SHA-256 of all that decides a reply: the model with its settings, and the request without its role.

    The seed counts, also where an endpoint knows none: several samples of one prompt need several seeds.
    """
    said = request.model_dump(mode="json", exclude={"role"})
    text = json.dumps([model, said], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Cached:
    """Answers from `folder` where it can, else asks and keeps the reply. Refusals are replies here: they were paid.

    Files appear whole or not at all, and the first of several writers wins, so that all read one reply. Equal requests
    that are under way at once in one process are sent once.
    """

    def __init__(self, llm: LLM, folder: Path, ledger: Ledger | None = None) -> None:
        self._llm = llm
        self._folder = folder
        self._ledger = ledger
        self._under_way: dict[str, asyncio.Lock] = {}

    @property
    def model(self) -> str:
        return self._llm.model

    async def close(self) -> None:
        await self._llm.close()

    async def complete(self, request: Request) -> Reply:
        """Raises what the endpoint raises, and a kept `Refused` again."""
        key = request_key(self.model, request)
        async with self._alone(key):
            kept = self._read(key)
            if kept is not None:
                return self._hit(request, kept)
            try:
                reply = await self._llm.complete(request)
            except Refused as error:
                self._keep(key, {"refused": str(error), "usage": error.usage.model_dump(mode="json")})
                raise
            if self._keep(key, {"reply": reply.model_dump(mode="json")}):
                return reply
            first = self._read(key) or {}
            return Reply.model_validate(first["reply"]) if "reply" in first else reply

    def _hit(self, request: Request, kept: dict[str, Any]) -> Reply:
        if "refused" in kept:
            usage = Usage.model_validate(kept["usage"])
            self._count(request, usage)
            raise charged(Refused(kept["refused"]), usage)
        reply = Reply.model_validate({**kept["reply"], "cached": True})
        self._count(request, reply.usage)
        return reply

    def _count(self, request: Request, saved: Usage) -> None:
        if self._ledger is not None:
            self._ledger.add(request.role, Account(hits=1, saved=saved))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _read(self, key: str) -> dict[str, Any] | None:
        """None where there is nothing, or nothing that this version can read."""
        try:
            kept = json.loads(self._path(key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return kept if isinstance(kept, dict) and kept.get("schema_version") == SCHEMA_VERSION else None

    def _keep(self, key: str, said: dict[str, Any]) -> bool:
        """False where another process has kept an answer meanwhile; that one stays."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"schema_version": SCHEMA_VERSION, "model": self.model, **said}, ensure_ascii=False)
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        try:
            os.link(partial, path)
        except FileExistsError:
            if self._read(key) is not None:
                os.unlink(partial)
                return False
            os.replace(partial, path)
        except OSError:  # a file system without links
            os.replace(partial, path)
        else:
            os.unlink(partial)
        return True

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        lock = self._under_way.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._under_way.get(key) is lock:
                del self._under_way[key]
