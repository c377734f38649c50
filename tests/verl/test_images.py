"""Rows with images: opened by Pillow, rolled out by the image loop on the embedded engine, kept for the trainer."""

from __future__ import annotations

import asyncio
from io import BytesIO

import pytest
from omegaconf import OmegaConf
from PIL import Image
from verl.utils.tokenizer import hf_processor, hf_tokenizer

from cleartrace_verl.image_dataset import ImageFileDataset, open_image
from cleartrace_verl.image_loop import ServerWithImages
from recipe.contextrl.tiny.build import Family, build
from recipe.contextrl.tiny.data import write_files


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_files(folder, 20)
    return folder


@pytest.fixture(scope="module")
def dataset(data, tmp_path_factory):
    model = str(build(Family.QWEN3_VL, tmp_path_factory.mktemp("model")))
    config = OmegaConf.create(
        {
            "prompt_key": "prompt",
            "image_key": "images",
            "max_prompt_length": 160,
            "filter_overlong_prompts": True,
            "filter_overlong_prompts_workers": 1,
            "cache_dir": str(data / "cache"),
        }
    )
    processor = hf_processor(model, trust_remote_code=True)
    tokenizer = hf_tokenizer(model, trust_remote_code=True)
    return ImageFileDataset(str(data / "tasks.parquet"), tokenizer, config, processor)


def test_a_row_becomes_messages_with_its_picture(dataset):
    row = dataset[0]
    content = row["raw_prompt"][0]["content"]
    assert [part["type"] for part in content] == ["image", "text"]
    assert row["agent_name"] == "image_agent"
    images, videos, audios = asyncio.run(
        ImageFileDataset.process_multi_modal_info(row["raw_prompt"], image_patch_size=16, config=dataset.config)
    )
    assert [image.size for image in images] == [(224, 224)]
    assert videos is None and audios is None


def test_the_length_filter_counts_the_tokens_of_the_picture(dataset, data):
    kept = len(dataset)
    config = OmegaConf.merge(dataset.config, {"max_prompt_length": 100})
    short = ImageFileDataset(str(data / "tasks.parquet"), dataset.tokenizer, config, dataset.processor)
    assert 0 == len(short) < kept, "a picture of 49 tokens and its question are longer than 100"


def test_pictures_by_path_content_and_object(tmp_path):
    picture = Image.new("RGBA", (8, 6), (255, 0, 0, 255))
    picture.save(tmp_path / "p.png")
    content = BytesIO()
    picture.save(content, format="PNG")
    for part in (
        {"image": picture},
        {"image": str(tmp_path / "p.png")},
        {"image": f"file://{tmp_path}/p.png"},
        {"path": str(tmp_path / "p.png"), "bytes": None},
        {"bytes": content.getvalue()},
    ):
        opened = open_image({"type": "image", **part})
        assert opened.mode == "RGB" and opened.getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(ValueError, match="has a picture"):
        open_image({"type": "image"})
    with pytest.raises(ValueError, match="gone.png"):
        open_image({"image": "gone.png"})


def test_other_media_are_refused():
    messages = [{"role": "user", "content": [{"type": "video", "video": "v.mp4"}]}]
    with pytest.raises(ValueError, match="has video"):
        ImageFileDataset._process_multi_modal_info(messages, 16, OmegaConf.create())
    assert ImageFileDataset._process_multi_modal_info([{"role": "user", "content": "hi"}], 16, OmegaConf.create()) == (
        None,
        None,
        None,
    )


def test_pictures_go_with_every_request():
    class Client:
        async def generate(self, **request):
            return request

    server = ServerWithImages(Client(), ["picture"], {"max_pixels": 9})
    sent = asyncio.run(server.generate(request_id="r", prompt_ids=[1]))
    assert sent == {
        "request_id": "r",
        "prompt_ids": [1],
        "image_data": ["picture"],
        "mm_processor_kwargs": {"max_pixels": 9},
    }
