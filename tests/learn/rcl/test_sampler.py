"""Which tasks a batch holds (A11)."""

from collections import Counter

import pytest

from cleartrace.learn.rcl.replay import ReplayEntry
from cleartrace.learn.rcl.sampler import (
    SamplerState,
    SamplingRules,
    draw,
    next_chunk,
    single_pass_iterations,
    single_pass_order,
)

POOL = [f"t{number}" for number in range(20)]
BUFFER = tuple(ReplayEntry(task_id=name) for name in POOL[:10])


def seen(*names: str, times: int = 1) -> dict[str, int]:
    return dict.fromkeys(names, times)


@pytest.mark.parametrize("iteration", range(30))
def test_r16_the_ratio_holds_when_every_task_was_seen(iteration):
    """20 tasks, 10 buffered, batch 10, ratio 0.5: the published sampler drew 8 of the buffer and wrote 5."""
    state = SamplerState(seen=seen(*POOL), buffer=BUFFER)
    batch, _ = draw(state, POOL, SamplingRules(batch_size=10, ratio=0.5), 42, iteration)
    assert len(set(batch.task_ids)) == 10
    assert len(set(batch.task_ids) & set(POOL[:10])) == 5
    assert set(batch.replayed) == set(batch.task_ids) & set(POOL[:10])


# pool size, buffered, never seen, batch, ratio -> from the buffer, unseen
@pytest.mark.parametrize(
    ("n", "buffered", "unseen", "size", "ratio", "replayed", "fresh_unseen"),
    [
        (20, 0, 20, 5, 0.5, 0, 5),
        (20, 2, 18, 10, 0.5, 2, 8),
        (20, 10, 10, 10, 0.3, 3, 7),
        (20, 10, 4, 10, 0.5, 5, 4),
        (10, 8, 0, 10, 0.5, 8, 0),
        (10, 10, 0, 6, 0.5, 6, 0),
        (20, 10, 10, 5, 1.0, 5, 0),
        (20, 3, 17, 5, 1.0, 3, 2),
        (20, 10, 10, 0, 0.5, 10, 10),
        (20, 10, 10, -1, 0.5, 10, 10),
        (4, 2, 2, 10, 0.5, 2, 2),
    ],
)
def test_a11_a_table_of_mixes(n, buffered, unseen, size, ratio, replayed, fresh_unseen):
    pool = POOL[:n]
    state = SamplerState(
        seen=seen(*pool[: n - unseen]), buffer=tuple(ReplayEntry(task_id=name) for name in pool[:buffered])
    )
    batch, after = draw(state, pool, SamplingRules(batch_size=size, ratio=ratio), 7, 1)
    assert len(batch.task_ids) == len(set(batch.task_ids)) == (n if size <= 0 else min(size, n))
    assert len(batch.replayed) == replayed
    assert batch.unseen == fresh_unseen
    assert all(after.seen[name] == state.seen.get(name, 0) + 1 for name in batch.task_ids)


def test_a11_the_least_seen_of_the_buffer_come_first_then_the_least_reflected_on():
    state = SamplerState(seen={"t0": 3, "t1": 1, "t2": 1, "t3": 2}, reflected={"t1": 1}, buffer=tuple(BUFFER[:4]))
    order = []
    for size in (1, 2, 3, 4):
        batch, _ = draw(state, POOL[:4], SamplingRules(batch_size=size, ratio=1.0), 1, size)
        order += [name for name in batch.replayed if name not in order]
    assert order == ["t2", "t1", "t3", "t0"]


def test_a11_unseen_first_visits_every_task_before_any_twice():
    state = SamplerState()
    for iteration in range(4):
        batch, state = draw(state, POOL, SamplingRules(batch_size=5), 3, iteration)
    assert state.seen == seen(*POOL)


def test_without_unseen_first_the_draw_is_uniform():
    state, rules = SamplerState(seen=seen(*POOL[:10], times=50)), SamplingRules(batch_size=5, unseen_first=False)
    hits = Counter(name for i in range(400) for name in draw(state, POOL, rules, 3, i)[0].task_ids)
    assert 850 < sum(hits[name] for name in POOL[:10]) < 1150


def test_without_replay_the_buffer_has_no_say():
    state = SamplerState(seen=seen(*POOL), buffer=BUFFER)
    drawn = {name for i in range(60) for name in draw(state, POOL, SamplingRules(batch_size=5), 0, i)[0].task_ids}
    assert drawn == set(POOL)


def test_a_single_pass_visits_each_task_once_and_goes_on_where_it_stood():
    order = single_pass_order(POOL, 42)
    assert sorted(order) == sorted(POOL) and list(order) != POOL
    state, visited = SamplerState(order=order), []
    for _ in range(single_pass_iterations(20, 6)):
        batch, state = next_chunk(SamplerState.model_validate_json(state.canonical()), 6)
        visited.append(batch.task_ids)
    assert [len(one) for one in visited] == [6, 6, 6, 2]
    assert tuple(name for chunk in visited for name in chunk) == order


def test_s11_a_draw_depends_on_its_name_and_not_on_others():
    import random

    random.seed(1)
    first = draw(SamplerState(), POOL, SamplingRules(), 42, 1)[0]
    random.random()
    assert draw(SamplerState(), POOL, SamplingRules(), 42, 1)[0] == first
    assert draw(SamplerState(), POOL, SamplingRules(), 43, 1)[0] != first


def test_s7_restoring_a_sampler_replaces_all_of_it():
    state = SamplerState(seen=seen(*POOL), buffer=BUFFER)
    restored = SamplerState.model_validate_json(state.with_reflected(["t1"]).canonical())
    assert restored.buffer[1].reflected and restored.reflected == {"t1": 1}
    assert SamplerState.model_validate_json("{}") == SamplerState()
