"""Weight updates: strict, copied, and never mixed with old KV."""

from __future__ import annotations

import pytest
import torch

from cleartrace_verl.engine import EngineError, Finish, Running, Sampling, WeightMismatch, build_engine
from tests.verl.engine.models import MODELS, assert_true_to, make_model

SAMPLING = Sampling(max_tokens=8, seed=0, ignore_eos=True)


@pytest.mark.parametrize("name", MODELS)
def test_update_takes_effect_and_drops_kv(name, prompts):
    engine, other = build_engine(make_model(name)), make_model(name, seed=1)
    before = engine.generate([prompts[6]], SAMPLING)[0]
    engine.update_weights(other.state_dict().items(), version=3)
    after = engine.generate([prompts[6]], SAMPLING)[0]
    assert (before.weights_version, after.weights_version, after.num_cached_tokens) == (0, 3, 0)
    assert_true_to(other, prompts[6], after)


def test_names_are_exactly_those_of_transformers():
    for name in MODELS:
        model = make_model(name)
        held = build_engine(model).model.weights.state_dict()
        assert held.keys() == model.state_dict().keys()
        for key, value in model.state_dict().items():
            assert torch.equal(held[key], value), key


def test_tied_head_may_be_absent_but_not_different(model, engine, prompts):
    state = dict(make_model("qwen3", seed=1).state_dict())
    head = state.pop("lm_head.weight")
    engine.update_weights(state.items(), version=1)
    with pytest.raises(WeightMismatch, match="tied"):
        engine.update_weights({**state, "lm_head.weight": head + 1}.items(), version=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("model.norm.weight"), "not sent.*model.norm.weight.*merge the adapter"),
        (lambda s: s.update({"model.layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(1)}), "unexpected.*lora_A"),
        (lambda s: s.update({"model.norm.weight": torch.zeros(3)}), r"shape \(3,\), expected \(48,\)"),
    ],
)
def test_wrong_sets_raise_and_stop_the_engine(model, engine, change, message):
    state = dict(model.state_dict())
    change(state)
    with pytest.raises(WeightMismatch, match=message):
        engine.update_weights(state.items(), version=1)
    assert engine.version == 0
    engine.add("a", [1, 2], SAMPLING)
    with pytest.raises(EngineError, match="the last weight update failed"):
        engine.step()
    with pytest.raises(EngineError, match="the last weight update failed"):
        engine.score([1], [2])
    engine.reset()
    engine.update_weights(model.state_dict().items(), version=1)
    assert_true_to(model, [1, 2], engine.generate([[1, 2]], SAMPLING)[0])


def test_repeated_tensor_and_older_version(model, engine):
    with pytest.raises(WeightMismatch, match="sent twice"):
        engine.update_weights([*model.state_dict().items(), *model.state_dict().items()], version=1)
    engine.update_weights(model.state_dict().items(), version=5)
    with pytest.raises(ValueError, match="older than the present 5"):
        engine.update_weights(model.state_dict().items(), version=4)


def test_values_are_copied_from_any_type_and_mode(model, engine, prompts):
    with torch.inference_mode():
        sent = {k: v.clone().to(torch.float64) for k, v in model.state_dict().items()}
        engine.update_weights(iter(sent.items()), version=1)
        for tensor in sent.values():
            tensor.zero_()
    assert_true_to(model, prompts[5], engine.generate([prompts[5]], SAMPLING)[0])
    engine.update_weights(model.state_dict().items(), version=2)


def test_update_while_running(model, engine, prompts):
    other = make_model("qwen3", seed=1)
    engine.add("a", prompts[5], SAMPLING)
    engine.step()
    with pytest.raises(EngineError, match="1 requests are running"):
        engine.update_weights(other.state_dict().items(), version=1)
    with pytest.raises(EngineError, match="1 requests are running"):
        engine.sleep()
    for index in range(5):
        engine.add(f"w{index}", prompts[index], SAMPLING)
    engine.update_weights(other.state_dict().items(), version=1, running=Running.FINISH)
    (old,) = engine.drain()
    assert (old.request_id, old.finish, old.weights_version) == ("a", Finish.LENGTH, 0)
    assert_true_to(model, prompts[5], old)
    done = []
    while engine.busy:
        done += engine.step()
    assert {g.weights_version for g in done} == {1} and len(done) == 5
    for generation in done:
        assert_true_to(other, prompts[int(generation.request_id[1:])], generation)


def test_update_can_abort_what_runs(model, engine, prompts):
    engine.add("a", prompts[2], SAMPLING)
    engine.step()
    engine.update_weights(model.state_dict().items(), version=1, running=Running.ABORT)
    (aborted,) = engine.drain()
    assert aborted.finish is Finish.ABORTED and len(aborted.token_ids) == 1
