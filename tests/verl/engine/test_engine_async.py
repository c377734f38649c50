"""The asyncio front: joining, cancelling, holding, failing, closing."""

from __future__ import annotations

import asyncio
import time

import pytest
import torch

from cleartrace_verl.engine import (
    AsyncEngine,
    EngineError,
    Finish,
    Gate,
    InvalidRequest,
    Running,
    Sampling,
    StopReason,
)
from tests.verl.engine.models import assert_true_to, make_model


def serve(engine, scenario):
    async def run():
        async with AsyncEngine(engine) as served:
            return await asyncio.wait_for(scenario(served), timeout=60)

    return asyncio.run(run())


def sampling(tokens: int, seed: int = 0) -> Sampling:
    return Sampling(max_tokens=tokens, seed=seed, ignore_eos=True)


async def started(served, steps: int = 3) -> None:
    """Return once the engine has made `steps` more steps."""
    first = (await served.stats()).steps
    while (await served.stats()).steps < first + steps:
        await asyncio.sleep(0.001)


def test_concurrent_requests_join_late(model, engine, prompts):
    async def late(served, index):
        await asyncio.sleep(0.002 * index)
        return await served.generate(prompts[index], sampling(5 + index, index), f"r{index}")

    async def scenario(served):
        return await asyncio.gather(*(late(served, index) for index in range(len(prompts))))

    results = serve(engine, scenario)
    for index, generation in enumerate(results):
        assert generation.request_id == f"r{index}" and len(generation.token_ids) == 5 + index
        assert_true_to(model, prompts[index], generation)


def test_abort_and_hold_until_resume(engine, prompts):
    async def scenario(served):
        running = asyncio.create_task(served.generate(prompts[1], sampling(250), "a"))
        await started(served)
        assert await served.abort_all(Gate.HOLD) == 1
        held = asyncio.create_task(served.generate(prompts[2], sampling(3), "b"))
        await asyncio.sleep(0.05)
        assert not held.done()
        await served.resume()
        return await running, await held

    aborted, held = serve(engine, scenario)
    assert aborted.stop_reason is StopReason.ABORTED and 0 < len(aborted.token_ids) < 250
    assert held.finish is Finish.LENGTH and len(held.token_ids) == 3


def test_cancelling_a_caller_frees_the_slot(engine, prompts):
    async def scenario(served):
        task = asyncio.create_task(served.generate(prompts[1], sampling(250), "a"))
        await started(served)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stats = await served.stats()
        again = await served.generate(prompts[1], sampling(2), "a")
        return stats.running, len(again.token_ids)

    assert serve(engine, scenario) == (0, 2)


@pytest.mark.parametrize("cancelled", [True, False])
def test_an_id_used_again_gets_its_own_result(engine, prompts, cancelled):
    async def scenario(served):
        first = asyncio.create_task(served.generate(prompts[1], sampling(250), "a"))
        await started(served)
        # While the worker sleeps, the end of the first and the start of the second queue up behind it together.
        busy = asyncio.create_task(served._call(lambda: time.sleep(0.1)))
        await asyncio.sleep(0.02)
        ended = None if cancelled else asyncio.create_task(served.abort("a"))
        if cancelled:
            first.cancel()
        await asyncio.sleep(0)
        second = await served.generate(prompts[1], sampling(2), "a")
        await busy
        if ended is None:
            return second, None
        assert await ended
        return second, await first

    second, first = serve(engine, scenario)
    assert len(second.token_ids) == 2 and second.finish is Finish.LENGTH
    assert cancelled or first.finish is Finish.ABORTED


def test_score_and_update_between_steps(model, engine, prompts):
    other = make_model("qwen3", seed=1)

    async def scenario(served):
        old = asyncio.create_task(served.generate(prompts[3], sampling(60), "old"))
        await started(served)
        scores = await served.score(prompts[4], prompts[5])
        with pytest.raises(EngineError, match="running"):
            await served.update_weights(other.state_dict().items(), 1)
        await served.update_weights(other.state_dict().items(), 1, Running.FINISH)
        return scores, await old, await served.generate(prompts[3], sampling(6), "new"), served.version

    scores, old, new, version = serve(engine, scenario)
    assert len(scores) == len(prompts[5]) and version == 1
    assert_true_to(model, prompts[3], old)
    assert_true_to(other, prompts[3], new)


def test_a_failed_step_fails_its_requests_and_the_engine_recovers(model, engine, prompts):
    bad = {k: torch.full_like(v, float("nan")) for k, v in model.state_dict().items()}

    async def scenario(served):
        await served.update_weights(bad.items(), 1)
        failed = await asyncio.gather(
            *(served.generate(prompts[i], sampling(3), str(i)) for i in range(3)), return_exceptions=True
        )
        await served.update_weights(model.state_dict().items(), 2)
        return failed, await served.generate(prompts[3], sampling(3), "ok")

    failed, recovered = serve(engine, scenario)
    assert all(isinstance(error, EngineError) and "not finite" in str(error) for error in failed)
    assert_true_to(model, prompts[3], recovered)


def test_refused_request_reaches_its_caller_only(engine, prompts):
    async def scenario(served):
        good = asyncio.create_task(served.generate(prompts[2], sampling(4), "good"))
        with pytest.raises(InvalidRequest):
            await served.generate([], sampling(4), "bad")
        return await good

    assert len(serve(engine, scenario).token_ids) == 4


def test_closing_ends_what_runs_and_refuses_more(engine, prompts):
    async def scenario():
        served = AsyncEngine(engine)
        running = asyncio.create_task(served.generate(prompts[1], sampling(250), "a"))
        await started(served)
        await served.close()
        await served.close()
        with pytest.raises(EngineError, match="closed"):
            await served.generate(prompts[1], sampling(1), "b")
        return await running

    assert asyncio.run(scenario()).finish is Finish.ABORTED
