"""The tiny vision-language models: real architecture, real processor, no torchvision."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText
from verl.utils.tokenizer import hf_processor, hf_tokenizer

from cleartrace_verl.context.positions import model_inputs, multimodal_positions
from recipe.contextrl.tiny.build import IMAGE, Family, build

IMAGES = (Image.new("RGB", (96, 64), "red"), Image.new("RGB", (64, 64), "blue"))


@pytest.fixture(scope="module", params=list(Family), ids=lambda family: family.value)
def folder(request, tmp_path_factory):
    return build(request.param, tmp_path_factory.mktemp(request.param.value))


@pytest.fixture(scope="module")
def processor(folder):
    loaded = hf_processor(str(folder), trust_remote_code=True)
    assert loaded is not None
    return loaded


@pytest.fixture(scope="module")
def row(processor):
    """Two images of different size around text."""
    content = [{"type": "image"}, {"type": "text", "text": "or"}, {"type": "image"}, {"type": "text", "text": "A?"}]
    messages = [{"role": "user", "content": content}]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return processor(text=[text], images=list(IMAGES), return_tensors="pt")


def test_the_letters_are_bytes_and_any_text_survives(folder):
    tokenizer = hf_tokenizer(str(folder), trust_remote_code=True)
    assert tokenizer("A", add_special_tokens=False).input_ids == [32]
    text = "Grün ≥ 3\n<b>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_an_image_becomes_one_token_per_merged_patch(processor, row):
    image = processor.tokenizer.convert_tokens_to_ids(IMAGE)
    assert int((row["input_ids"] == image).sum()) == int(row["image_grid_thw"].prod(1).sum()) // 4
    assert len(row["image_grid_thw"]) == 2
    assert row["image_grid_thw"][0].tolist() != row["image_grid_thw"][1].tolist()


def test_positions_follow_rows_and_columns_of_the_image(processor, row):
    ids = row["input_ids"][0]
    positions = multimodal_positions(processor, ids, torch.ones_like(ids), row)
    assert positions.shape == (4, len(ids))
    assert torch.equal(positions[0], torch.arange(len(ids)))
    start = int((ids == processor.image_token_id).nonzero()[0])
    _, height, width = (int(n) for n in row["image_grid_thw"][0])
    height, width = height // 2, width // 2
    cells = [(start, start + h, start + w) for h in range(height) for w in range(width)]
    assert positions[1:, start : start + height * width].T.tolist() == [list(cell) for cell in cells]
    after = start + height * width
    assert positions[1:, after].tolist() == [start + max(height, width)] * 3


def test_a_placeholder_in_the_text_is_refused(processor, row):
    ids = torch.cat([row["input_ids"][0], torch.tensor([processor.image_token_id])])
    with pytest.raises(ValueError, match="vision tag"):
        multimodal_positions(processor, ids, torch.ones_like(ids), row)


def test_the_model_sees_both_images_and_its_own_positions_agree(folder, processor, row):
    model = AutoModelForImageTextToText.from_pretrained(folder).train()
    ids = row["input_ids"][0]
    positions = multimodal_positions(processor, ids, torch.ones_like(ids), row)
    given = model(input_ids=row["input_ids"], position_ids=positions[1:, None], **model_inputs(row)).logits
    own = model(**row).logits
    torch.testing.assert_close(given, own)
    margin = own[0, -1, 32] - own[0, -1, 33]
    margin.backward()
    vision = {name: p.grad for name, p in model.named_parameters() if ".visual." in name}
    assert len(vision) >= 30
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in vision.values())
    changed = model_inputs(row) | {"pixel_values": row["pixel_values"].flip(0)}
    other = model(input_ids=row["input_ids"], position_ids=positions[1:, None], **changed).logits
    assert not torch.allclose(other[0, -1], own[0, -1])
