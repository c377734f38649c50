"""The exports of pairs in the classes of veRL that read them, against the rows of the contrastive run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
from verl.utils.dataset.rl_dataset import RLHFDataset

from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.export import AGENT, ExportError, asked, export_rl, export_sft
from cleartrace.pairs.order import OrderPolicy, random_order
from cleartrace.pairs.prompt import render
from cleartrace.pairs.record import ImageRef, Order, Pair, PairKind
from cleartrace.rewards.score import compute_score
from recipe.contextrl.tiny.build import Family, tiny_processor, tiny_tokenizer
from tests.data.task_files import write_tasks
from tests.verl.templates.families import FAMILIES, standin

POLICY = Path(__file__).resolve().parents[2] / "dataset/quickstart/policy"
BOTH, RANDOM = OrderPolicy.BOTH, OrderPolicy.RANDOM


def pair(number: int = 0, **changes: Any) -> Pair:
    given: dict[str, Any] = {"id": f"hen-{number}", "kind": PairKind.TEXT, "question": "How many hens?", "answer": "3"}
    given |= {"pos": f"House {number} has 3 hens.", "neg": f"House {number} has 4 hens.", "group": f"g{number}"}
    return Pair(**{**given, "source": "test", **changes})


def picture_pair(folder: Path) -> Pair:
    from PIL import Image

    for name in ("red", "gray"):
        Image.new("RGB", (56, 56), name).save(folder / f"{name}.png")
    red, gray = (ImageRef(path=str(folder / f"{name}.png")) for name in ("red", "gray"))
    return pair(9, kind=PairKind.IMAGE, pos=red, neg=gray)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(POLICY)


def rl_data(files: list[Path], tokenizer: Any, processor: Any = None) -> RLHFDataset:
    config = OmegaConf.create({"filter_overlong_prompts": processor is None, "max_prompt_length": 4096})
    return RLHFDataset(
        data_files=[str(file) for file in files], tokenizer=tokenizer, config=config, processor=processor
    )


def test_da_sft_trains_the_letter_behind_the_prompt_of_the_contrastive_run(tokenizer, tmp_path):
    pairs = [pair(i) for i in range(3)]
    path = tmp_path / "sft.parquet"
    assert export_sft(pairs, path, policy=BOTH) == 6
    config = OmegaConf.create({"pad_mode": "no_padding", "max_length": 4096})
    data = MultiTurnSFTDataset(parquet_files=str(path), tokenizer=tokenizer, config=config)
    rows = [PairEncoder(tokenizer).encode(p, order) for p, order in asked(pairs, BOTH, 0)]
    assert len(data) == len(rows)
    for i, row in enumerate(rows):
        ids, mask = data[i]["input_ids"].tolist(), data[i]["loss_mask"].tolist()
        n = len(row.input_ids)
        letter = row.first_ids if row.correct_first else row.second_ids
        assert ids[:n] == row.input_ids and ids[n : n + 1] == list(letter)
        assert sum(mask[:n]) == 0 and mask[n : n + 2] == [1, 1]
        assert tokenizer.decode(ids[n + 1 :]).startswith("<|im_end|>")


@pytest.mark.parametrize("name", ["Qwen3, not thinking", "Qwen3.6"])
def test_da_sft_trains_the_letter_behind_the_thought_that_the_run_closes(name, tmp_path):
    """The published setting for Qwen3-8B, and a template that opens a thought by itself (W6)."""
    family, tokenizer = FAMILIES[name], standin(name)
    path = tmp_path / "sft.parquet"
    export_sft([pair()], path, policy=BOTH)
    config = {"pad_mode": "no_padding", "max_length": 4096, "ignore_input_ids_mismatch": True}
    config["apply_chat_template_kwargs"] = dict(family.options)
    data = MultiTurnSFTDataset(parquet_files=str(path), tokenizer=tokenizer, config=OmegaConf.create(config))
    encoder = PairEncoder(tokenizer, chat_template_kwargs=family.options)
    for i, (p, order) in enumerate(asked([pair()], BOTH, 0)):
        row, ids = encoder.encode(p, order), data[i]["input_ids"].tolist()
        n = len(row.input_ids)
        assert ids[:n] == row.input_ids and ids[n] in (row.first_ids + row.second_ids)
        assert data[i]["loss_mask"].tolist()[n] == 1
        assert tokenizer.decode(row.input_ids).endswith("<think>\n\n</think>\n\n")


def test_the_agent_of_da_rl_is_one_of_verls():
    assert AGENT in _agent_loop_registry


def test_da_rl_asks_the_prompt_of_the_contrastive_run_beside_tasks(tokenizer, tmp_path):
    pairs = [pair(i) for i in range(4)]
    tasks = write_tasks(tmp_path / "train.parquet", 3, seed=0)
    assert export_rl(pairs, tmp_path / "rl.parquet", seed=5) == 4
    data = rl_data([tasks, tmp_path / "rl.parquet"], tokenizer)
    assert len(data) == 7
    encoder = PairEncoder(tokenizer)
    for i, p in enumerate(pairs):
        row, order = data[3 + i], random_order(5, 0, p.id)
        assert (row["data_source"], row["agent_name"]) == ("context_selection", "single_turn_agent")
        prompt = tokenizer.apply_chat_template(row["raw_prompt"], add_generation_prompt=True, return_dict=False)
        assert list(prompt) == encoder.encode(p, order).input_ids
        gold = row["reward_model"]["ground_truth"]
        assert gold == ("A" if order is Order.SUPPORTING_FIRST else "B")
        scores = [compute_score(row["data_source"], letter, gold, row["extra_info"])["score"] for letter in (gold, "C")]
        assert scores == [1.0, 0.0]
        assert row["extra_info"]["question_id"] == p.id


def test_da_rl_rows_have_the_images_of_the_contrastive_run(tmp_path):
    processor = tiny_processor(Family.QWEN3_VL, tiny_tokenizer())
    picture = picture_pair(tmp_path)
    assert export_rl([picture, pair(1)], tmp_path / "rl.parquet", policy=BOTH) == 4
    data = rl_data([tmp_path / "rl.parquet"], processor.tokenizer, processor)
    encoder = PairEncoder(processor.tokenizer, processor)
    for i, (p, order) in enumerate(asked([picture, pair(1)], BOTH, 0)):
        told = data[i]["raw_prompt"]
        prompt = render(p, order)
        text = processor.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        assert text == encoder.text(prompt)
        shown = [part["image"] for part in told[0]["content"] if isinstance(part, dict) and part["type"] == "image"]
        assert shown == [image.path for image in prompt.images]


def test_da_sft_names_the_images_for_the_placeholders(tmp_path):
    picture = picture_pair(tmp_path)
    export_sft([picture, pair(1)], tmp_path / "sft.parquet", policy=BOTH)
    first, second, text, _ = pq.read_table(tmp_path / "sft.parquet").to_pylist()
    assert first["messages"][0]["content"].count("<image>") == 2 and first["images"] == second["images"][::-1]
    assert [row["messages"][1]["content"] for row in (first, second)] == ["A", "B"] and text["images"] == []


def test_a_prefill_stands_before_the_letter(tmp_path):
    export_sft([pair()], tmp_path / "sft.parquet", policy=BOTH, prefill="The correct option is ")
    rows = pq.read_table(tmp_path / "sft.parquet").to_pylist()
    assert [row["messages"][1]["content"][-4:] for row in rows] == ["is A", "is B"]


def test_orders_of_exports(tmp_path):
    pairs = [pair(i) for i in range(9)]
    balanced = [order for _, order in asked(pairs, OrderPolicy.BALANCED, 3)]
    assert balanced.count(Order.SUPPORTING_FIRST) == 5
    assert [order for _, order in asked(pairs, RANDOM, 3)] == [random_order(3, 0, p.id) for p in pairs]
    stored = [pair(i, order=Order.CONFOUNDING_FIRST) for i in range(2)]
    assert {order for _, order in asked(stored, OrderPolicy.FIXED, 3)} == {Order.CONFOUNDING_FIRST}


def test_what_cannot_be_exported_is_refused(tmp_path):
    path = tmp_path / "out.parquet"
    with pytest.raises(ExportError, match="no pair"):
        export_rl([], path)
    with pytest.raises(ExportError, match="cannot be graded; use two of ABCDEFGH"):
        export_rl([pair()], path, letters=("X", "Y"))
    # A tag in a text is harmless, until a column of images makes veRL look for it.
    tagged = pair(1, pos="see <image> there")
    assert export_rl([tagged], path) == 1
    for export in (export_rl, export_sft):
        with pytest.raises(ExportError, match="pair hen-1: its text says <image>"):
            export([tagged, picture_pair(tmp_path)], path)
