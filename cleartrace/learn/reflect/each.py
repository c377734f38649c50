"""One call over all signals, or one for each: what every reflector that asks a model has in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from cleartrace.learn.calls import all_or_first_error
from cleartrace.learn.protocol import Reflection, Signal
from cleartrace.learn.rcl.streams import seed_of
from cleartrace.learn.reflect.reply import clean, nothing
from cleartrace.llm.protocol import Refused

Call = Callable[[Sequence[Signal], int], Awaitable[tuple[Reflection, ...]]]
"""Findings about some signals, asked for under a seed. Raises `LLMError`."""


async def reflect_on(signals: Sequence[Signal], call: Call, batched: bool, seed: int) -> tuple[Reflection, ...]:
    """Findings about `signals`, in their order.

    Runs that are probes or have no score are left out; a signal without others gives a reflection that says so (S8). A
    content filter that stops the call over all falls back to one for each; one that stops a signal's own call gives a
    reflection without findings.
    """
    usable = [kept for one in signals if (kept := clean(one)) is not None]
    skipped = [nothing((one,), "it has no clean run with a score") for one in signals if clean(one) is None]
    if batched and len(usable) > 1:
        try:
            return (*await call(usable, seed_of(seed, "reflect")), *skipped)
        except Refused:
            pass
    each = await all_or_first_error([_alone(one, call, seed) for one in usable])
    return (*(one for found in each for one in found), *skipped)


async def _alone(signal: Signal, call: Call, seed: int) -> tuple[Reflection, ...]:
    try:
        return await call([signal], seed_of(seed, "reflect", signal.task.id))
    except Refused as error:
        return (nothing((signal,), f"a content filter stopped the call: {error}"),)
