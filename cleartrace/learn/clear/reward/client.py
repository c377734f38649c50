"""Asking the reward service, from a trainer's event loop or from plain code."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import ValidationError

from cleartrace.episodes.types import Task
from cleartrace.learn.clear.reward.names import TOKEN_VARIABLE, URL_VARIABLE
from cleartrace.learn.clear.reward.types import Ask, Graded

DEADLINE_S = 2400.0
"""Above the service's own, which says better what is slow."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0


class ServiceMissing(ValueError):
    """Nobody says where the service is."""


class Misconfigured(ValueError):
    """The service refuses: a wrong token, other tasks, no step. Waiting does not mend it."""


class RewardClient:
    """One pool of connections. Waits for a service that is away, up to the deadline, and then says `ungraded`.

    Args:
        at_once: guidances that are with the service at a time; the deadline of the others has not begun.
    """

    def __init__(self, url: str, token: str | None = None, deadline_s: float = DEADLINE_S, at_once: int = 64) -> None:
        self.url, self._deadline_s = url.rstrip("/"), deadline_s
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=at_once)
        self._http = httpx.AsyncClient(headers=headers, limits=limits, timeout=None, trust_env=False)
        self._room = asyncio.Semaphore(at_once)

    async def grade(self, ask: Ask) -> Graded:
        """Raises `Misconfigured`."""
        async with self._room:
            return await self._grade(ask, time.monotonic() + self._deadline_s)

    async def close(self) -> None:
        await self._http.aclose()

    async def _grade(self, ask: Ask, deadline: float) -> Graded:
        wait, said = _FIRST_WAIT_S, "it was not asked in time"
        while (left := deadline - time.monotonic()) > 0:
            try:
                # Leaving the call closes its connection, which ends the runs at the service.
                response = await asyncio.wait_for(
                    self._http.post(f"{self.url}/score", content=ask.model_dump_json()), left
                )
                if response.status_code == 200:
                    return Graded.model_validate_json(response.content)
                said = f"status {response.status_code}: {response.text[:200]}"
                if 400 <= response.status_code < 500:
                    raise Misconfigured(f"the reward service at {self.url} refuses, {said}")
            except asyncio.TimeoutError:
                said = f"no answer within {self._deadline_s:g} s"
                break
            except (httpx.HTTPError, ValidationError) as error:
                said = f"{type(error).__name__}: {error}"
            await asyncio.sleep(min(wait, max(deadline - time.monotonic(), 0.0)))
            wait = min(2 * wait, _LONGEST_WAIT_S)
        return Graded(ungraded=True, error=f"service: {said}", blame="engine")


def ask_of(solution: str, ground_truth: Any, info: Mapping[str, Any], step: int | None) -> Ask:
    """The request of one rollout. `ground_truth`: the task as `export.write_prompts` wrote it.

    On rows of other splits than `train` the step is 0, so that one evaluation compares with the next.

    Raises:
        ValueError: the ground truth is not a task.
    """
    try:
        task = Task.model_validate(json.loads(ground_truth) if isinstance(ground_truth, str) else ground_truth)
    except (ValidationError, ValueError, TypeError) as error:
        raise ValueError(
            f"reward_model.ground_truth is not a task as JSON ({error}); write rows with write_prompts"
        ) from None
    held_out = info.get("split", task.split) != "train"
    return Ask(task=task, guidance=solution, step=0 if held_out else step)


def service_address() -> tuple[str, str | None]:
    """URL and token from the environment. Raises `ServiceMissing`."""
    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise ServiceMissing(
            f"{URL_VARIABLE} is not set: start `cleartrace clear reward-serve` and export the address that it prints"
        )
    return url, os.environ.get(TOKEN_VARIABLE) or None


_POOL: dict[tuple[asyncio.AbstractEventLoop, str], RewardClient] = {}


def pooled_client(deadline_s: float = DEADLINE_S) -> RewardClient:
    """The client of the running event loop. Raises `ServiceMissing`."""
    url, token = service_address()
    loop = asyncio.get_running_loop()
    for key in [key for key in _POOL if key[0].is_closed()]:
        del _POOL[key]
    if (loop, url) not in _POOL:
        _POOL[loop, url] = RewardClient(url, token, deadline_s)
    return _POOL[loop, url]
