"""The asyncio front: one worker thread steps the engine, requests join between any two tokens."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Tokens
from concurrent.futures import Future
from typing import Any, TypeVar

import torch

from .config import EngineError, EngineStats, Gate, Generation, Running, Sampling
from .engine import Engine

T = TypeVar("T")


class AsyncEngine:
    """Serves one `Engine` to any number of coroutines, also of several event loops.

    Every call is run by the worker thread between two steps, so the engine needs no lock. Example::

        async with AsyncEngine(engine) as served:
            results = await asyncio.gather(*(served.generate(p, Sampling(), f"r{i}") for i, p in enumerate(prompts)))
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._results: dict[str, Future[Generation]] = {}
        self._closing = False
        self._post_lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="embedded-engine", daemon=True)
        self._thread.start()

    async def __aenter__(self) -> AsyncEngine:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def generate(self, prompt_ids: Tokens[int], sampling: Sampling, request_id: str, **inputs: Any) -> Generation:
        """Run one request to its end. Cancelling the coroutine aborts the request.

        `inputs` are further arguments of the engine's `add`: the images of a `VisionEngine`.

        Raises InvalidRequest for what the engine does not serve, EngineError when the step it was in failed.
        """
        result: Future[Generation] = Future()

        def start() -> None:
            # An ended request may have had this id; its result must not reach the new one.
            self._deliver(self._engine.drain())
            self._engine.add(request_id, prompt_ids, sampling, **inputs)
            self._results[request_id] = result

        try:
            await self._call(start)
            return await asyncio.wrap_future(result)
        except asyncio.CancelledError:
            if not self._closing:
                self._post(lambda: self._forget(request_id, result))
            raise

    async def score(
        self, prompt_ids: Tokens[int], continuation_ids: Tokens[int], temperature: float = 1.0
    ) -> list[float]:
        """`Engine.score`, between two steps."""
        return await self._call(lambda: self._engine.score(prompt_ids, continuation_ids, temperature))

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        version: int,
        running: Running = Running.ERROR,
    ) -> None:
        """`Engine.update_weights`; the iterable is consumed in the worker thread before this returns."""
        await self._call(lambda: self._engine.update_weights(weights, version, running))

    async def abort(self, request_id: str) -> bool:
        """End one request; its `generate` returns the tokens so far."""
        return await self._call(lambda: self._engine.abort(request_id))

    async def abort_all(self, gate: Gate = Gate.OPEN) -> int:
        """End every request; with HOLD or REJECT the gate is closed in the same breath, until `resume`."""

        def run() -> int:
            if gate is not Gate.OPEN:
                self._engine.pause(gate)
            return self._engine.abort_all()

        return await self._call(run)

    async def pause(self, gate: Gate = Gate.HOLD) -> None:
        """`Engine.pause`."""
        await self._call(lambda: self._engine.pause(gate))

    async def resume(self) -> None:
        """`Engine.resume`."""
        await self._call(self._engine.resume)

    async def clear_kv(self) -> None:
        """`Engine.clear_kv`: drop idle KV and give memory back; raises EngineError while requests run."""
        await self._call(self._engine.clear_kv)

    sleep = clear_kv

    async def stats(self) -> EngineStats:
        """`Engine.stats`."""
        return await self._call(lambda: self._engine.stats)

    @property
    def version(self) -> int:
        """Version of the weights in use."""
        return self._engine.version

    async def close(self) -> None:
        """End every request, aborted, and stop the worker thread. Later calls raise EngineError."""
        if self._closing:
            return
        await self.abort_all(Gate.REJECT)
        with self._post_lock:
            # Under the lock no call can slip in behind the last one and wait for an answer forever.
            self._closing = True
            self._inbox.put(lambda: None)
        await asyncio.to_thread(self._thread.join)

    # ---- caller's side

    async def _call(self, function: Callable[[], T]) -> T:
        """Run `function` in the worker thread and give back its value or exception."""
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(function())
            except Exception as error:
                answer.set_exception(error)

        self._post(run)
        # Shielded: a cancelled caller must not cancel a future that the worker is about to fill.
        return await asyncio.shield(asyncio.wrap_future(answer))

    def _post(self, function: Callable[[], None]) -> None:
        with self._post_lock:
            if self._closing or not self._thread.is_alive():
                raise EngineError("the engine is closed")
            self._inbox.put(function)

    # ---- worker's side

    def _work(self) -> None:
        if self._engine.config.num_threads is not None:
            # OpenMP keeps the thread count per calling thread: setting it elsewhere would not reach this one.
            torch.set_num_threads(self._engine.config.num_threads)
        while not self._closing:
            if not self._engine.busy:
                self._inbox.get()()
            self._serve_inbox()
            self._step()
        self._serve_inbox()

    def _serve_inbox(self) -> None:
        while True:
            try:
                call = self._inbox.get_nowait()
            except queue.Empty:
                return
            call()

    def _step(self) -> None:
        try:
            finished = self._engine.step()
        except Exception as error:
            self._fail_all(error)
            return
        self._deliver(finished)

    def _deliver(self, finished: list[Generation]) -> None:
        for generation in finished:
            future = self._results.pop(generation.request_id, None)
            if future is not None and future.set_running_or_notify_cancel():
                future.set_result(generation)

    def _fail_all(self, error: Exception) -> None:
        failed, self._results = self._results, {}
        self._engine.reset()
        for future in failed.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _forget(self, request_id: str, result: Future[Generation]) -> None:
        if self._results.get(request_id) is not result:
            return
        del self._results[request_id]
        try:
            self._engine.abort(request_id)
        except Exception as error:
            # Nobody waits for this call, so its failure goes to those who wait for the engine.
            self._fail_all(error)
