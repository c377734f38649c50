"""Image pairs through veRL's engine: the margins are those of the plain model, and the vision tower learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText
from verl.utils.tokenizer import hf_processor

from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.files import read_pairs, write_pairs
from cleartrace.pairs.make.scenes.catalog import sample_scene, scene_rng
from cleartrace.pairs.record import ImageRef, Order, PairKind, both_directions
from recipe.contextrl.tiny.build import Family, build

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("image_engine.py")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two pairs of pictures, each in both directions; their rows differ in length."""
    folder = tmp_path_factory.mktemp("pairs")
    made = []
    for number in (0, 4):
        scene = sample_scene(0, number)
        edited = scene.edited(scene_rng(0, number, "edit"))
        refs = []
        for name, picture in (("a", scene), ("b", edited)):
            picture.render().resize((96, 64 + 16 * number)).save(folder / f"{number}{name}.png")
            refs.append(ImageRef(path=str(folder / f"{number}{name}.png")))
        made += both_directions(
            id=f"scene-{number}",
            kind=PairKind.IMAGE,
            question=scene.question,
            answers=(scene.answer, edited.answer),
            contexts=(refs[0], refs[1]),
            group=f"scene-{number}",
            source="scenes",
        )
    write_pairs(folder / "pairs.jsonl", made)
    return folder / "pairs.jsonl"


def plain_margins(folder: Path, pairs: Path) -> list[float]:
    processor = hf_processor(str(folder), trust_remote_code=True)
    encoder = PairEncoder(processor.tokenizer, processor)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    margins = []
    for pair in read_pairs(pairs):
        row = encoder.encode(pair, Order.SUPPORTING_FIRST)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.input_ids]), **row.mm).logits[0, -1]
        margins.append(float(logits[row.first_ids[0]] - logits[row.second_ids[0]]))
    return margins


@pytest.mark.parametrize(
    ("family", "layout"),
    [(Family.QWEN2_5_VL, "padded"), (Family.QWEN3_VL, "padded"), (Family.QWEN3_VL, "packed")],
    ids=lambda value: str(getattr(value, "value", value)),
)
def test_margins_are_those_of_the_model_and_every_vision_weight_learns(family, layout, pairs, tmp_path):
    folder = build(family, tmp_path / "model")
    command = [sys.executable, str(SCRIPT), str(folder), str(pairs), layout]
    env = {**os.environ, "VERL_PLATFORM": "cpu", "PYTHONPATH": f"{ROOT}:{ROOT / 'verl'}"}
    env |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    torch.testing.assert_close(
        torch.tensor(found["margins"]), torch.tensor(plain_margins(folder, pairs)), rtol=0, atol=1e-4
    )
    assert len(found["vision"]) >= 30
    assert min(found["vision"].values()) > 0
