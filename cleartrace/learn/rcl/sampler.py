"""Which tasks are run next: from the failure buffer at an exact ratio, unseen ones first, or one shuffled pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from pydantic import Field

from cleartrace.episodes.types import Record
from cleartrace.learn.rcl.replay import Buffer, mark_reflected
from cleartrace.learn.rcl.streams import stream


class SamplerState(Record):
    """What sampling remembers. Restoring replaces all of it (S7).

    Args:
        seen, reflected: how often each task was run in a batch, and reflected on.
        order, position: of the single pass; () without one.
    """

    seen: dict[str, int] = {}
    reflected: dict[str, int] = {}
    buffer: Buffer = ()
    order: tuple[str, ...] = ()
    position: int = 0

    def with_reflected(self, task_ids: Sequence[str]) -> SamplerState:
        """Marks of tasks whose reflection came to its end (R26)."""
        return self.model_copy(
            update={
                "reflected": _counted(self.reflected, task_ids),
                "buffer": mark_reflected(self.buffer, task_ids),
            }
        )


class SamplingRules(Record):
    """How a batch is drawn.

    Args:
        batch_size: tasks; 0 or less for the whole pool.
        ratio: share of the batch that comes from the buffer.
        unseen_first: tasks never run come before all others of the fresh part.
    """

    batch_size: int = 5
    ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    unseen_first: bool = True


class Batch(Record):
    """Tasks to run, in order. The figures are what happened, not what was asked for (R16).

    Args:
        replayed: those drawn from the buffer.
        unseen: how many were never run before.
    """

    task_ids: tuple[str, ...]
    replayed: tuple[str, ...] = ()
    unseen: int = 0


def draw(
    state: SamplerState, pool: Sequence[str], rules: SamplingRules, seed: int, iteration: int
) -> tuple[Batch, SamplerState]:
    """A batch of distinct tasks and the state that has seen it.

    `round(size * ratio)` come from the buffer, the least seen first. The others come from tasks outside it while
    there are any, and from it when the pool holds nothing else.
    """
    random = stream(seed, "sample", iteration)
    size = _size(rules.batch_size, len(pool))
    buffered = {one.task_id for one in state.buffer} & set(pool) if rules.ratio else set[str]()
    wanted = round(size * rules.ratio)
    replayed = _least_seen([one for one in pool if one in buffered], state, random)[:wanted]
    fresh = _fresh(state, [one for one in pool if one not in buffered], rules.unseen_first, random)
    chosen = [*replayed, *fresh[: size - len(replayed)]]
    if len(chosen) < size:
        rest = [one for one in pool if one in buffered and one not in set(replayed)]
        replayed = replayed + _least_seen(rest, state, random)[: size - len(chosen)]
        chosen = [*replayed, *fresh]
    random.shuffle(chosen)
    batch = _batch(chosen, [one for one in chosen if one in set(replayed)], state)
    return batch, state.model_copy(update={"seen": _counted(state.seen, chosen)})


def single_pass_order(pool: Sequence[str], seed: int) -> tuple[str, ...]:
    """The pool shuffled once."""
    order = list(pool)
    stream(seed, "single_pass").shuffle(order)
    return tuple(order)


def single_pass_iterations(pool_size: int, batch_size: int) -> int:
    """How many batches one pass takes."""
    return -(-pool_size // _size(batch_size, pool_size)) if pool_size else 0


def next_chunk(state: SamplerState, batch_size: int) -> tuple[Batch, SamplerState]:
    """The next batch of the single pass; the last one may be shorter."""
    size = _size(batch_size, len(state.order))
    chosen = state.order[state.position : state.position + size]
    moved = {"position": state.position + len(chosen), "seen": _counted(state.seen, chosen)}
    return _batch(chosen, (), state), state.model_copy(update=moved)


def _size(batch_size: int, pool_size: int) -> int:
    return pool_size if batch_size <= 0 else min(batch_size, pool_size)


def _batch(chosen: Sequence[str], replayed: Sequence[str], state: SamplerState) -> Batch:
    unseen = sum(1 for one in chosen if not state.seen.get(one))
    return Batch(task_ids=tuple(chosen), replayed=tuple(replayed), unseen=unseen)


def _fresh(state: SamplerState, outside: Sequence[str], unseen_first: bool, random: Random) -> list[str]:
    """Tasks outside the buffer, in the order in which they are taken."""
    order = _shuffled(outside, random)
    return sorted(order, key=lambda one: bool(state.seen.get(one))) if unseen_first else order


def _least_seen(task_ids: Sequence[str], state: SamplerState, random: Random) -> list[str]:
    order = _shuffled(task_ids, random)
    return sorted(order, key=lambda one: (state.seen.get(one, 0), state.reflected.get(one, 0)))


def _shuffled(items: Iterable[str], random: Random) -> list[str]:
    order = list(items)
    random.shuffle(order)
    return order


def _counted(counts: dict[str, int], task_ids: Iterable[str]) -> dict[str, int]:
    counts = dict(counts)
    for one in task_ids:
        counts[one] = counts.get(one, 0) + 1
    return counts
