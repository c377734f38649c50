"""Session endpoints: each call goes to the one worker that holds the session."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from fastapi import APIRouter, HTTPException
from redis.exceptions import RedisError

from code_judge.api.models import CellRequest, SessionRequest
from code_judge.api.protocol import run_limits
from code_judge.dispatcher import Dispatcher
from code_judge.settings import Settings

_ANSWER_S = 15.0


class _Choice:
    """Of a worker for a new session, by what the last look showed and what was opened since."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._status = dispatcher.status
        self._opened: Counter[str] = Counter()

    async def emptiest(self) -> str:
        if not self._dispatcher.status.supervisors:
            with contextlib.suppress(RedisError, OSError):  # the last look may be a second old
                await self._dispatcher.look()
        status = self._dispatcher.status
        if not status.supervisors:
            raise HTTPException(503, "no worker is alive")
        if status is not self._status:
            self._status, self._opened = status, Counter()
        rows = status.supervisors
        name = min(rows, key=lambda row: (row["sessions"] + self._opened[row["name"]]) / row["slots"])["name"]
        self._opened[name] += 1
        return name


def session_router(dispatcher: Dispatcher, settings: Settings) -> APIRouter:
    """Routes below /v2/sessions."""
    router = APIRouter(prefix="/v2/sessions", tags=["sessions"])
    cell_s = 2 * settings.max_wall_s  # it may wait for other cells of the worker first
    choice = _Choice(dispatcher)

    async def ask(worker: str, message: dict[str, Any], wait_s: float = _ANSWER_S) -> dict[str, Any]:
        if worker not in {row["name"] for row in dispatcher.status.supervisors}:
            raise HTTPException(410, "the worker of this session is gone, and its state with it")
        try:
            said = await dispatcher.call(worker, message, wait_s)
        except TimeoutError as error:
            raise HTTPException(504, f"the worker of this session gave {error}") from None
        except (RedisError, OSError) as error:
            raise HTTPException(503, f"queue: {error}") from None
        if said["status"] != "ok":
            headers = {"Retry-After": "1"} if said["code"] == 429 else None
            raise HTTPException(said["code"], said["detail"], headers)
        return {name: value for name, value in said.items() if name != "status"}

    def split(session: str) -> tuple[str, str]:
        worker, _, name = session.rpartition(".")
        return worker, name

    @router.post("", status_code=201, summary="Open a session")
    async def create(body: SessionRequest) -> dict[str, Any]:
        worker = await choice.emptiest()
        idle_s = min(body.idle_s or settings.session_idle_s, settings.session_idle_s)
        limits = run_limits(body.limits, settings)
        message = {"op": "create", "limits": vars(limits), "idle_s": idle_s, "code": body.code}
        made = await ask(worker, message)
        return {"session": f"{worker}.{made['session']}", "idle_s": idle_s, "answer_s": cell_s}

    @router.post("/{session}/cells", summary="Run a cell")
    async def run(session: str, body: CellRequest) -> dict[str, Any]:
        worker, name = split(session)
        limits = None if body.limits is None else run_limits(body.limits, settings)
        message = {
            "op": "run", "session": name, "code": body.code, "echo": body.echo, "rollback": body.rollback,
            "limits": None if limits is None else vars(limits),
        }  # fmt: skip
        return await ask(worker, message, cell_s)

    @router.post("/{session}/fork", status_code=201, summary="A new session with the state of this one")
    async def fork(session: str) -> dict[str, Any]:
        worker, name = split(session)
        made = await ask(worker, {"op": "fork", "session": name})
        return {"session": f"{worker}.{made['session']}"}

    @router.post("/{session}/reset", summary="Back to the state at the start")
    async def reset(session: str) -> dict[str, Any]:
        worker, name = split(session)
        return await ask(worker, {"op": "reset", "session": name})

    @router.get("/{session}", summary="Whether it is there; says why when it has ended (410)")
    async def show(session: str) -> dict[str, Any]:
        worker, name = split(session)
        return await ask(worker, {"op": "show", "session": name})

    @router.delete("/{session}", summary="Close it")
    async def end(session: str) -> dict[str, Any]:
        worker, name = split(session)
        return await ask(worker, {"op": "end", "session": name})

    return router
