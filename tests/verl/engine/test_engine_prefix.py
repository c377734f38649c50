"""KV reuse: turns, rollback, siblings, memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cleartrace_verl.engine import EngineConfig, Sampling, build_engine
from cleartrace_verl.engine.prefix import Entry, PrefixStore, common_prefix
from tests.verl.engine.models import assert_true_to

IDS = st.lists(st.integers(0, 2), max_size=8)


def run(engine, prompt, tokens=6, seed=0):
    return engine.generate([prompt], Sampling(max_tokens=tokens, seed=seed, ignore_eos=True))[0]


def test_next_turn_continues_the_last_one(model, engine, prompts):
    first = run(engine, prompts[7])
    history = [*prompts[7], *first.token_ids]
    second_prompt = [*history, *prompts[2]]
    second = run(engine, second_prompt)
    # The last sampled token was never fed back, so its KV does not exist yet.
    assert second.num_cached_tokens == len(history) - 1
    assert_true_to(model, second_prompt, second)
    assert engine.stats.prefix_entries == 1


def test_rollback_keeps_only_the_common_prefix(model, engine, prompts):
    first = run(engine, prompts[7], tokens=20)
    kept = [*prompts[7], *first.token_ids[:8]]
    replacement = (first.token_ids[8] + 1) % 120
    repaired = [*kept, replacement, *prompts[3]]
    second = run(engine, repaired)
    assert second.num_cached_tokens == len(kept)
    assert_true_to(model, repaired, second)
    shortened = run(engine, kept[:20])
    assert shortened.num_cached_tokens == 19
    assert_true_to(model, kept[:20], shortened)


def test_siblings_compute_their_prompt_once(model, prompts):
    engine = build_engine(model, EngineConfig(max_slots=16, prefill_chunk=16))
    prompt = prompts[-1]
    results = engine.generate([prompt] * 16, [Sampling(max_tokens=4 + i, seed=i, ignore_eos=True) for i in range(16)])
    assert sorted(g.num_cached_tokens for g in results) == [0] + [len(prompt) - 1] * 15
    assert engine.stats.prefilled_tokens == len(prompt) + 15
    assert len({g.token_ids for g in results}) == 16
    for generation in results:
        assert_true_to(model, prompt, generation)


def test_late_sibling_copies_from_a_running_one(model, engine, prompts):
    engine.add("early", prompts[-1], Sampling(max_tokens=12, seed=1, ignore_eos=True))
    for _ in range(6):
        engine.step()
    engine.add("late", prompts[-1], Sampling(max_tokens=3, seed=2, ignore_eos=True))
    done = {}
    while engine.busy:
        done.update({g.request_id: g for g in engine.step()})
    assert done["late"].num_cached_tokens == len(prompts[-1]) - 1
    for generation in done.values():
        assert_true_to(model, prompts[-1], generation)


def test_memory_stays_within_the_budget(model, prompts):
    budget = 60_000
    engine = build_engine(model, EngineConfig(max_slots=4, prefix_cache_bytes=budget))
    for seed in range(5):
        for prompt in prompts:
            run(engine, [seed, *prompt])
            assert engine.stats.prefix_bytes <= budget
    assert engine.stats.prefix_entries > 1
    token_bytes = 2 * 2 * 2 * 16 * 4
    assert engine.stats.prefix_bytes % token_bytes == 0


def test_without_a_budget_nothing_is_kept(model, prompts):
    engine = build_engine(model, EngineConfig(prefix_cache_bytes=0))
    run(engine, prompts[-1])
    again = run(engine, prompts[-1])
    assert again.num_cached_tokens == 0 and engine.stats.prefix_entries == 0


def test_slots_that_nothing_reached_stay_out_of_memory(engine, prompts):
    run(engine, prompts[0])
    engine.clear_kv()
    assert engine.stats.prefix_bytes == 0 and engine._cache is None
    assert run(engine, prompts[0]).num_cached_tokens == 0


@given(IDS, IDS)
def test_common_prefix_is_the_longest(left, right):
    size = common_prefix(np.array(left, dtype=np.int32), np.array(right, dtype=np.int32))
    assert left[:size] == right[:size]
    assert size == min(len(left), len(right)) or left[size] != right[size]


@given(st.lists(IDS.filter(len), max_size=8), IDS)
def test_match_is_the_best_of_all_entries(sequences, query):
    store = PrefixStore(budget=1 << 20)
    for tokens in sequences:
        store.put(entry(tokens))
    best = max((common(tokens, query) for tokens in sequences), default=0)
    found, length = store.match(np.array(query, dtype=np.int32))
    assert length == best
    assert (found is None) == (best == 0)
    assert found is None or common(found.tokens.tolist(), query) == best


def test_least_recently_used_goes_first():
    store = PrefixStore(budget=3 * 4 * 2)
    for token in (1, 2, 3):
        store.put(entry([token, token]))
    store.match(np.array([1], dtype=np.int32))
    store.put(entry([4, 4]))
    found = [store.match(np.array([t], dtype=np.int32))[1] for t in (1, 2, 3, 4)]
    assert found == [1, 0, 1, 1] and store.bytes == 24
    assert not store.wants(np.arange(9, dtype=np.int32), 9 * 4)


def common(left: list[int], right: list[int]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def entry(tokens: list[int]) -> Entry:
    return Entry(np.array(tokens, dtype=np.int32), torch.zeros(1, 1, 1, len(tokens), 1))


@pytest.mark.parametrize("budget", [0, 7])
def test_an_entry_beyond_the_budget_is_not_kept(budget):
    store = PrefixStore(budget)
    store.put(entry([1, 2]))
    assert len(store) == 0 and store.bytes == 0
