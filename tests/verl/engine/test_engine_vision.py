"""The engine on tiny vision-language models: log-probs of the plain forward, images told apart, weights swapped."""

from __future__ import annotations

import asyncio

import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from cleartrace_verl.engine import (
    AsyncEngine,
    EngineConfig,
    Finish,
    Gate,
    InvalidRequest,
    Sampling,
    VisionEngine,
    WeightMismatch,
    load_engine,
)
from recipe.contextrl.tiny.build import IMAGE, Family, build

RED, BLUE = (Image.new("RGB", (96, 64), colour) for colour in ("red", "blue"))
LONG = Sampling(temperature=1.0, max_tokens=12, seed=3, ignore_eos=True)


@pytest.fixture(scope="module", params=list(Family), ids=lambda family: family.value)
def folder(request, tmp_path_factory):
    return build(request.param, tmp_path_factory.mktemp(request.param.value))


def family_of(folder) -> Family:
    return Family(AutoConfig.from_pretrained(folder).model_type)


@pytest.fixture(scope="module")
def processor(folder):
    return AutoProcessor.from_pretrained(folder, trust_remote_code=True)


@pytest.fixture
def engine(folder) -> VisionEngine:
    loaded = load_engine(folder, EngineConfig(max_slots=2, max_context=400))
    assert isinstance(loaded, VisionEngine)
    return loaded


def prompt(processor, *images) -> list[int]:
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": "Which colour?"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    return processor(text=[text], images=list(images) or None)["input_ids"][0]


def run(engine, *requests) -> dict:
    for name, ids, sampling, images in requests:
        engine.add(name, ids, sampling, images=images)
    done = {}
    while engine.busy:
        done.update({generation.request_id: generation for generation in engine.step()})
    return done


def plain_log_probs(folder, processor, ids, images, output, temperature=1.0) -> torch.Tensor:
    """Of one forward over prompt and output, by the model's own handling of everything."""
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    tokens = torch.tensor([[*ids, *output]])
    inputs = {}
    if images:
        made = processor.image_processor(images=list(images), return_tensors="pt")
        kinds = (tokens == processor.image_token_id).long()
        inputs = {"pixel_values": made["pixel_values"], "image_grid_thw": made["image_grid_thw"]}
        inputs["mm_token_type_ids"] = kinds
    with torch.no_grad():
        logits = model(input_ids=tokens, **inputs).logits[0, len(ids) - 1 : -1]
    return (logits / temperature).log_softmax(-1).gather(-1, torch.tensor(output)[:, None])[:, 0]


def test_log_probs_are_those_of_one_plain_forward(folder, processor, engine):
    warm = Sampling(temperature=0.7, max_tokens=10, seed=1, ignore_eos=True)
    ids = prompt(processor, RED, BLUE)
    requests = [
        ("two images", ids, LONG, (RED, BLUE)),
        ("warm", ids, warm, (RED, BLUE)),
        ("text", prompt(processor), LONG, ()),
    ]
    done = run(engine, *requests)
    for name, given, sampling, images in requests:
        output = list(done[name].token_ids)
        assert len(output) == sampling.max_tokens and done[name].finish is Finish.LENGTH
        expected = plain_log_probs(folder, processor, given, images, output, sampling.temperature)
        torch.testing.assert_close(torch.tensor(done[name].log_probs), expected, rtol=0, atol=1e-4)


def test_the_picture_matters_and_the_company_does_not(processor, engine):
    ids = prompt(processor, RED)
    alone = run(engine, ("a", ids, LONG, (RED,)))["a"]
    beside = run(engine, ("a", ids, LONG, (RED,)), ("b", ids, LONG, (BLUE,)), ("c", ids, LONG, (RED,)))
    assert beside["a"].token_ids == beside["c"].token_ids == alone.token_ids
    assert beside["b"].log_probs != alone.log_probs
    assert not engine._inputs and not engine._states


def test_a_placeholder_is_never_sampled(processor, engine):
    never = {processor.image_token_id, processor.video_token_id}
    ids = prompt(processor)
    liked = engine.model.logits(ids)[-1, processor.image_token_id]
    engine.model._model.lm_head.weight.data[processor.image_token_id] *= 1000 * liked.sign()
    assert int(engine.model.logits(ids)[-1].argmax()) == processor.image_token_id
    for temperature in (0.0, 1.0):
        sampling = Sampling(temperature=temperature, max_tokens=40, seed=0, ignore_eos=True, top_p=0.9)
        assert not never & set(run(engine, ("a", ids, sampling, ()))["a"].token_ids)


def test_placeholders_must_match_the_images(processor, engine):
    ids = prompt(processor, RED)
    for images in ((), (RED, BLUE), (RED.resize((32, 32)),)):
        with pytest.raises(InvalidRequest, match="image placeholders"):
            engine.add("a", ids, LONG, images=images)
    assert not engine.busy
    assert processor.tokenizer.convert_tokens_to_ids(IMAGE) in ids


def test_weights_are_swapped_whole_or_refused(processor, engine, folder):
    ids = prompt(processor, RED)
    before = run(engine, ("a", ids, LONG, (RED,)))["a"]
    other = AutoModelForImageTextToText.from_pretrained(build(family_of(folder), folder / "other", 1))
    engine.update_weights(other.state_dict().items(), version=2)
    after = run(engine, ("a", ids, LONG, (RED,)))["a"]
    assert after.weights_version == 2 and after.log_probs != before.log_probs
    expected = plain_log_probs(folder / "other", processor, ids, (RED,), list(after.token_ids))
    torch.testing.assert_close(torch.tensor(after.log_probs), expected, rtol=0, atol=1e-4)
    with pytest.raises(WeightMismatch, match="were not sent"):
        engine.update_weights(list(other.state_dict().items())[:-1], version=3)
    with pytest.raises(WeightMismatch, match="no weight of this model"):
        engine.update_weights([("model.none", torch.zeros(1))], version=3)


def test_scores_of_a_text_are_its_log_probs(processor, engine):
    ids = prompt(processor)
    done = run(engine, ("a", ids, LONG, ()))["a"]
    scores = engine.score(ids, done.token_ids)
    torch.testing.assert_close(torch.tensor(scores), torch.tensor(done.log_probs), rtol=0, atol=1e-4)


def test_it_is_served_and_aborted_as_the_text_engine_is(processor, engine):
    async def serve():
        async with AsyncEngine(engine) as served:
            ids = prompt(processor, RED)
            one = await served.generate(ids, LONG, "a", images=(RED,))
            await served.pause(Gate.HOLD)
            waiting = asyncio.create_task(served.generate(ids, LONG, "b", images=(RED,)))
            await asyncio.sleep(0.05)
            await served.abort_all(Gate.REJECT)
            return one, await waiting

    one, aborted = asyncio.run(serve())
    assert one.finish is Finish.LENGTH
    assert aborted.finish is Finish.ABORTED and aborted.token_ids == ()
