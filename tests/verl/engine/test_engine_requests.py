"""How requests end, are refused, stopped, aborted and held."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace_verl.engine import (
    EngineConfig,
    EngineError,
    Finish,
    Gate,
    InvalidRequest,
    Sampling,
    StopReason,
    build_engine,
)
from cleartrace_verl.engine.sampler import restrict, sample
from tests.verl.engine.models import assert_true_to


def test_stop_token_is_kept_and_ends_the_request(engine, prompts):
    free = engine.generate([prompts[4]], Sampling(max_tokens=20, seed=3, ignore_eos=True))[0]
    assert free.finish is Finish.LENGTH and len(free.token_ids) == 20
    stop = free.token_ids[7]
    first = free.token_ids.index(stop)
    stopped = engine.generate([prompts[4]], Sampling(max_tokens=20, seed=3, ignore_eos=True, stop_token_ids=(stop,)))[0]
    assert stopped.token_ids == free.token_ids[: first + 1]
    assert stopped.finish is Finish.STOP and stopped.stop_reason is StopReason.COMPLETED
    assert len(stopped.log_probs) == len(stopped.token_ids)


def test_end_of_sequence_ids_and_ignore_eos(model, prompts):
    engine = build_engine(model, EngineConfig(eos_token_ids=tuple(range(120))))
    assert len(engine.generate([prompts[4]], Sampling(max_tokens=9))[0].token_ids) == 1
    assert len(engine.generate([prompts[4]], Sampling(max_tokens=9, ignore_eos=True))[0].token_ids) == 9


def test_context_limit(model, prompts):
    engine = build_engine(model, EngineConfig(max_context=20))
    assert len(engine.generate([prompts[4]], Sampling(ignore_eos=True))[0].token_ids) == 3
    full = engine.generate([[1] * 20], Sampling())[0]
    assert full.token_ids == () and full.log_probs == () and full.finish is Finish.LENGTH
    with pytest.raises(InvalidRequest, match="21 tokens, the context holds 20"):
        engine.add("long", [1] * 21, Sampling())
    with pytest.raises(EngineError, match="exceeds the model's own limit of 256"):
        build_engine(model, EngineConfig(max_context=257))


def test_no_tokens_asked_for(engine):
    assert engine.generate([[1, 2]], Sampling(max_tokens=0))[0].finish is Finish.LENGTH


@pytest.mark.parametrize("prompt", [[], [120], [-1], [[1, 2]]])
def test_bad_prompts_are_refused(engine, prompt):
    with pytest.raises(InvalidRequest):
        engine.add("bad", prompt, Sampling())
    assert not engine.busy


def test_request_id_in_use(engine):
    engine.add("a", [1], Sampling())
    with pytest.raises(InvalidRequest, match="'a' is in use"):
        engine.add("a", [1], Sampling())


def test_abort_returns_tokens_so_far(model, engine, prompts):
    for index, prompt in enumerate(prompts[:6]):
        engine.add(str(index), prompt, Sampling(max_tokens=50, seed=index, ignore_eos=True))
    for _ in range(9):
        assert engine.step() == []
    assert engine.abort("2") and not engine.abort("unknown")
    assert engine.abort_all() == 5
    done = {int(g.request_id): g for g in engine.drain()}
    assert sorted(done) == list(range(6)) and not engine.busy
    assert {g.stop_reason for g in done.values()} == {StopReason.ABORTED}
    assert done[5].token_ids == (), "never admitted: four slots"
    for index in range(4):
        assert 0 < len(done[index].token_ids) < 50
        assert_true_to(model, prompts[index], done[index])


def test_pause_holds_and_resume_continues(model, engine, prompts):
    engine.add("running", prompts[4], Sampling(max_tokens=10, seed=1, ignore_eos=True))
    engine.step()
    engine.pause()
    engine.add("held", prompts[5], Sampling(max_tokens=2, seed=1, ignore_eos=True))
    steps = engine.stats.steps
    assert not engine.busy and engine.step() == [] and engine.stats.steps == steps
    engine.resume()
    done = {}
    while engine.busy:
        done.update({g.request_id: g for g in engine.step()})
    assert_true_to(model, prompts[4], done["running"])
    assert len(done["held"].token_ids) == 2


def test_rejecting_gate_ends_new_requests_at_once(engine):
    engine.pause(Gate.REJECT)
    engine.add("a", [1, 2], Sampling())
    (rejected,) = engine.step()
    assert rejected.finish is Finish.ABORTED and rejected.token_ids == ()


def test_seeds(model, prompts):
    def sample_once(engine_seed, seed):
        engine = build_engine(model, EngineConfig(seed=engine_seed))
        return engine.generate([prompts[5]], Sampling(max_tokens=16, seed=seed, ignore_eos=True))[0].token_ids

    assert sample_once(0, None) == sample_once(0, None) != sample_once(1, None)
    assert sample_once(0, 7) == sample_once(1, 7) != sample_once(0, 8)


def test_top_k_and_top_p_limit_choice_but_not_log_probs(model, engine, prompts):
    greedy = engine.generate([prompts[5]], Sampling(temperature=0, max_tokens=10, ignore_eos=True))[0]
    for limits in ({"top_k": 1}, {"top_p": 1e-6}):
        limited = engine.generate([prompts[5]], Sampling(temperature=1.5, max_tokens=10, ignore_eos=True, **limits))[0]
        assert limited.token_ids == greedy.token_ids
        assert_true_to(model, prompts[5], limited, temperature=1.5)


def test_samples_follow_the_distribution():
    logits = torch.log(torch.tensor([0.5, 0.0, 0.3, 0.2])).expand(20_000, 4)
    draws = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).tolist()
    tokens, log_probs = sample(logits, [Sampling()] * 20_000, draws)
    shares = torch.bincount(tokens, minlength=4) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.0, 0.3, 0.2]), atol=0.015, rtol=0)
    assert torch.allclose(log_probs, logits[0][tokens])


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0 - 2**-53])
def test_extreme_draws_never_pick_an_impossible_token(draw):
    logits = torch.tensor([[float("-inf"), 1.0, 2.0, float("-inf")]])
    assert sample(logits, [Sampling()], [draw])[0].item() in (1, 2)


@settings(max_examples=60)
@given(
    weights=st.lists(st.floats(0.01, 1), min_size=2, max_size=9),
    top_p=st.floats(0.05, 1),
    top_k=st.integers(-1, 10),
)
def test_restrict_keeps_the_smallest_likely_set(weights, top_p, top_k):
    probs = torch.tensor(weights) / sum(weights)
    kept = restrict(probs.clone(), top_p, top_k) > 0
    count = int(kept.sum())
    assert count >= 1 and (top_k <= 0 or count <= top_k)
    assert probs[kept].min() >= probs[~kept].max() if count < len(probs) else True


@pytest.mark.parametrize(
    "params",
    [
        {"repetition_penalty": 1.1},
        {"temperature": -1},
        {"top_p": 0},
        {"top_k": -2},
        {"max_tokens": -1},
        {"n": 2},
        {"max_tokens": 3, "max_new_tokens": 4},
    ],
)
def test_sampling_refuses_what_it_does_not_do(params):
    with pytest.raises(InvalidRequest):
        Sampling.from_dict(params)


def test_sampling_reads_rollout_parameters():
    params = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}
    assert Sampling.from_dict(params) == Sampling()
    assert Sampling.from_dict({"max_new_tokens": 5, "stop_token_ids": [3]}) == Sampling(
        max_tokens=5, stop_token_ids=(3,)
    )


def test_non_finite_logits_are_an_error(model, engine):
    bad = {k: torch.full_like(v, float("nan")) for k, v in model.state_dict().items()}
    engine.update_weights(bad.items(), version=1)
    engine.add("a", [1, 2, 3], Sampling(max_tokens=2))
    with pytest.raises(EngineError, match="not finite for request.*'a'.*version 1"):
        while engine.busy:
            engine.step()
    engine.reset()
    engine.update_weights(model.state_dict().items(), version=2)
    assert len(engine.generate([[1, 2, 3]], Sampling(max_tokens=2, ignore_eos=True))[0].token_ids) == 2
