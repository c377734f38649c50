"""Asks an endpoint for rollouts: at a bounded rate, many at once, and waits for their results with growing pauses."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from cleartrace.agents.rollout_endpoint.store import ResultStore
from cleartrace.agents.rollout_endpoint.types import SESSION_HEADER, Place, Result

CALLS_PER_S = 25.0
"""What AgentCore lets an account ask for."""
_COME_AGAIN = frozenset((429, 500, 502, 503, 504))


class RolloutFault(RuntimeError):
    """The endpoint cannot be asked, or its answer is none: nothing is known of the rollout."""


class RolloutRefused(ValueError):
    """The endpoint will not make this rollout; asking again changes nothing."""


@dataclass(frozen=True)
class Pace:
    """How patiently results are waited for: pauses grow from `first_s` by `factor` up to `most_s`.

    `tries`: of one call that fails for reasons that may pass.
    """

    first_s: float = 0.5
    most_s: float = 30.0
    factor: float = 1.5
    tries: int = 5


class RolloutClient:
    """For one endpoint and one experiment.

    Args:
        exp_id: rollouts of one experiment are made once for each input and session. A trainer whose policy changes
            names the step in it.
        base_url, model_id, sampling_params: of the model to run; the endpoint's own without.
        store: where results are read; the endpoint itself without.
        calls_per_s: invocations, over all tasks of an event loop.
    """

    def __init__(
        self,
        url: str,
        exp_id: str,
        *,
        bucket: str = "rollouts",
        token: str | None = None,
        base_url: str | None = None,
        model_id: str | None = None,
        sampling_params: Mapping[str, Any] | None = None,
        store: ResultStore | None = None,
        calls_per_s: float = CALLS_PER_S,
        pace: Pace | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self.url, self.exp_id, self.bucket = url.rstrip("/"), exp_id, bucket
        model = {"base_url": base_url, "model_id": model_id, "sampling_params": dict(sampling_params or {}) or None}
        self.model = {name: value for name, value in model.items() if value is not None}
        self.pace = pace or Pace()
        self._store, self._gap_s, self._next = store, 1.0 / calls_per_s, 0.0
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(timeout=timeout_s, headers=headers, trust_env=False)

    async def __aenter__(self) -> RolloutClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def about(self) -> dict[str, Any]:
        """What our endpoint says of itself. Raises `RolloutFault`."""
        return _object(await self._call("GET", "/status"))

    async def invoke(self, task_id: str, input_id: str, session_id: str | None = None, **more: Any) -> RolloutFuture:
        """Ask for one rollout.

        Args:
            session_id: the same one asks for the same rollout; a new one without.
            more: further fields of the payload: `seed` and `context` of ours.

        Raises: `RolloutFault`, `RolloutRefused`.
        """
        session = session_id or uuid.uuid4().hex
        ids = {"exp_id": self.exp_id, "input_id": input_id, "s3_bucket": self.bucket, "session_id": session}
        payload = {"task_id": task_id, **more, "_rollout": {**ids, **self.model}}
        await self._turn()
        answer = await self._call("POST", "/invocations", json=payload, headers={SESSION_HEADER: session})
        try:
            return RolloutFuture(self, Place.model_validate(_object(answer)))
        except ValidationError:
            raise RolloutFault(f"{self.url} does not say where the result will be: {answer.text[:200]}") from None

    async def batch(
        self, wanted: Sequence[Mapping[str, Any]], *, max_concurrent: int = 100, timeout_s: float | None = None
    ) -> list[Result | Exception]:
        """A result, or what went wrong, for each of `wanted` (arguments of `invoke`), in their order.

        Cancelling it cancels every rollout that is under way.
        """
        gate = asyncio.Semaphore(max_concurrent)

        async def one(arguments: Mapping[str, Any]) -> Result:
            async with gate:
                return await (await self.invoke(**arguments)).result(timeout_s)

        found = await asyncio.gather(*map(one, wanted), return_exceptions=True)
        if fatal := next((error for error in found if not isinstance(error, (Result, Exception))), None):
            raise fatal
        return [one for one in found if isinstance(one, (Result, Exception))]

    async def read(self, place: Place) -> Result | None:
        """A result that is there. Raises `RolloutFault`."""
        if self._store is not None:
            content = await asyncio.to_thread(self._store.get, place)
        else:
            answer = await self._call("GET", f"/results/{place.s3_bucket}/{place.result_key}")
            content = answer.content if answer.status_code == 200 else None
        if content is None:
            return None
        try:
            return Result.model_validate_json(content)
        except ValidationError as error:
            raise RolloutFault(f"{place.result_key} is no result: {error.errors()[0]['msg']}") from None

    async def cancel(self, place: Place) -> bool:
        answer = await self._call("DELETE", f"/results/{place.s3_bucket}/{place.result_key}")
        return bool(_object(answer).get("cancelled"))

    async def _turn(self) -> None:
        """Waits until the rate allows another call."""
        now = time.monotonic()
        self._next, wait_s = max(self._next, now) + self._gap_s, max(self._next - now, 0.0)
        await asyncio.sleep(wait_s)

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        pause, said = self.pace.first_s, ""
        for turn in range(self.pace.tries):
            try:
                answer = await self._http.request(method, self.url + path, **options)
            except httpx.HTTPError as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code in (400, 401, 403, 413, 422):
                    raise RolloutRefused(f"{self.url}{path}: {_detail(answer)}")
                if answer.status_code < 400:
                    return answer
                said = f"HTTP {answer.status_code}: {_detail(answer)}"
                if answer.status_code not in _COME_AGAIN:
                    break
            if turn < self.pace.tries - 1:
                await asyncio.sleep(pause)
                pause = min(pause * self.pace.factor, self.pace.most_s)
        raise RolloutFault(f"{method} {self.url}{path}: {said}")


@dataclass(frozen=True)
class RolloutFuture:
    """A rollout that was asked for."""

    client: RolloutClient
    place: Place

    async def done(self) -> bool:
        return await self.client.read(self.place) is not None

    async def result(self, timeout_s: float | None = None) -> Result:
        """Waits for it. Whoever stops waiting, cancelled or after `timeout_s`, ends the rollout as well.

        Raises: `RolloutFault`; asyncio.TimeoutError.
        """
        try:
            return await asyncio.wait_for(self._wait(), timeout_s)
        except (asyncio.CancelledError, asyncio.TimeoutError):
            # Of its own: this coroutine may have no more time to wait.
            _later(self.cancel())
            raise

    async def cancel(self) -> bool:
        """Whether there was something to end."""
        try:
            return await self.client.cancel(self.place)
        except (RolloutFault, RolloutRefused, RuntimeError):
            return False

    async def _wait(self) -> Result:
        pace = self.client.pace
        pause = pace.first_s
        while True:
            found = await self.client.read(self.place)
            if found is not None:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * pace.factor, pace.most_s)


_tasks: set[asyncio.Future[Any]] = set()


def _later(work: Any) -> None:
    """A task that nobody awaits is kept from being collected before it is done."""
    task = asyncio.ensure_future(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RolloutFault(f"{answer.url} answers with {answer.text[:200]!r}, which is no JSON object")
    return found


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
