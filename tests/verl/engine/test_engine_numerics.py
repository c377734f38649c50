"""Engine log-probs against the plain forward, whatever the batch, the cache and the slots have been through."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from cleartrace_verl.engine import EngineConfig, EngineError, Sampling, UnsupportedModel, build_engine, load_engine
from cleartrace_verl.engine.load import resolve_dtype, self_check
from tests.verl.engine.models import MODELS, SIZES, assert_true_to, make_model, reference_log_probs


@pytest.mark.parametrize("name", MODELS)
def test_ragged_batch_with_slot_reuse_matches_plain_forward(name, prompts):
    model = make_model(name)
    engine = build_engine(model, EngineConfig(max_slots=4, prefill_chunk=16))
    settings = [Sampling(max_tokens=5 + 3 * i, seed=i, temperature=0.7, ignore_eos=True) for i in range(len(prompts))]
    for prompt, generation in zip(prompts, engine.generate(prompts, settings), strict=True):
        assert_true_to(model, prompt, generation, temperature=0.7)


@pytest.mark.parametrize("name", MODELS)
def test_greedy_is_transformers_greedy(name, prompts):
    model = make_model(name)
    engine = build_engine(model, EngineConfig(max_slots=8))
    results = engine.generate(prompts, Sampling(temperature=0, max_tokens=12, ignore_eos=True))
    for prompt, generation in zip(prompts, results, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        assert list(generation.token_ids) == expected[0, len(prompt) :].tolist()
        assert_true_to(model, prompt, generation)


def test_result_does_not_depend_on_the_batch(model, prompts):
    settings = [Sampling(max_tokens=20, seed=100 + i, ignore_eos=True) for i in range(len(prompts))]
    together = build_engine(model, EngineConfig(max_slots=10)).generate(prompts, settings)
    for prompt, setting, expected in zip(prompts, settings, together, strict=True):
        engine = build_engine(model, EngineConfig(max_slots=1, prefill_chunk=3, prefix_cache_bytes=0))
        alone = engine.generate([prompt], setting)[0]
        assert alone.token_ids == expected.token_ids
        assert alone.log_probs == pytest.approx(expected.log_probs, abs=1e-5)


def test_requests_join_and_leave_at_every_token(model, engine, prompts):
    sampling = [Sampling(max_tokens=3 + i, seed=i, ignore_eos=True) for i in range(len(prompts))]
    waiting, done = list(range(len(prompts))), {}
    while waiting or engine.busy:
        if waiting:
            index = waiting.pop()
            engine.add(str(index), prompts[index], sampling[index])
        done.update({int(g.request_id): g for g in engine.step()})
    assert sorted(done) == list(range(len(prompts)))
    for index, generation in done.items():
        assert len(generation.token_ids) == 3 + index
        assert_true_to(model, prompts[index], generation)


@pytest.mark.parametrize("reused", [False, True])
def test_score_matches_plain_forward(model, engine, prompts, reused):
    prompt, continuation = prompts[-1], prompts[-2]
    if reused:
        engine.generate([prompt], Sampling(max_tokens=4, ignore_eos=True))
    scores = engine.score(prompt, continuation, temperature=0.5)
    expected = reference_log_probs(model, prompt, continuation, 0.5)
    torch.testing.assert_close(torch.tensor(scores), expected, atol=1e-5, rtol=0)
    assert (engine.stats.cached_tokens > 0) is reused
    assert engine.score(prompt, []) == []


def test_score_beside_running_requests_disturbs_none(model, engine, prompts):
    for index, prompt in enumerate(prompts[:4]):
        engine.add(str(index), prompt, Sampling(max_tokens=8, seed=index, ignore_eos=True))
    done = {}
    while engine.busy:
        done.update({int(g.request_id): g for g in engine.step()})
        engine.score(prompts[5], prompts[6])
    for index, generation in done.items():
        assert_true_to(model, prompts[index], generation)


def test_bfloat16_stays_close(model, prompts):
    half = copy.deepcopy(model).to(torch.bfloat16)
    engine = build_engine(half, EngineConfig(dtype="bfloat16"))
    generation = engine.generate([prompts[4]], Sampling(max_tokens=10, seed=1, ignore_eos=True))[0]
    expected = reference_log_probs(half, prompts[4], generation.token_ids)
    assert (torch.tensor(generation.log_probs) - expected).abs().mean() < 0.15


def test_auto_dtype_widens_only_where_bfloat16_is_emulated(monkeypatch):
    cpu = torch.device("cpu")
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert resolve_dtype("auto", torch.bfloat16, cpu) is expected
    assert resolve_dtype("auto", torch.float32, cpu) is torch.float32
    assert resolve_dtype("auto", torch.bfloat16, torch.device("cuda")) is torch.bfloat16


def test_self_check_finds_a_wrong_forward(model):
    engine = build_engine(model)
    assert self_check(engine.model, model) < 1e-5
    engine.model.sin.neg_()
    with pytest.raises(EngineError, match="differ from the qwen3"):
        self_check(engine.model, model)


def test_unsupported_architectures_are_named():
    with pytest.raises(UnsupportedModel, match="supported: llama, qwen2, qwen3"):
        build_engine(transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=9)))
    sizes = {**SIZES, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    with pytest.raises(UnsupportedModel, match="sliding_attention"):
        build_engine(transformers.AutoModelForCausalLM.from_config(transformers.Qwen2Config(**sizes)))


def test_load_engine_from_a_checkpoint_folder(model, prompts, tmp_path):
    model.save_pretrained(tmp_path)
    generation = load_engine(tmp_path).generate([prompts[3]], Sampling(max_tokens=4, ignore_eos=True))[0]
    assert_true_to(model, prompts[3], generation)


def test_llama3_rope_scaling_is_honoured(prompts):
    rope = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SIZES, rope_parameters=rope, eos_token_id=None)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    generation = build_engine(model).generate([prompts[-1]], Sampling(max_tokens=8, seed=0))[0]
    assert_true_to(model, prompts[-1], generation)
