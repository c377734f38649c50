"""Rows as token ids: the end of the prompt (W6), images, and that nothing is cut (W14)."""

from __future__ import annotations

import pytest

from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.letters import LetterError
from cleartrace.pairs.prefix import THOUGHTS, answer_prefix_text, open_thought
from cleartrace.pairs.prompt import render
from cleartrace.pairs.record import Order
from recipe.contextrl.tiny.build import Family, tiny_processor, tiny_tokenizer
from tests.pairs.samples import (
    CHATML,
    THINKING,
    blank_first,
    byte_level,
    image_pair,
    shipped,
    text_pair,
    trajectory_pair,
)

AB, BA = Order.SUPPORTING_FIRST, Order.CONFOUNDING_FIRST


@pytest.mark.parametrize("pair", [text_pair(), trajectory_pair()], ids=["text", "trajectory"])
def test_a_row_is_the_template_and_ends_where_the_letter_stands(pair):
    tokenizer = shipped()
    encoder = PairEncoder(tokenizer)
    for order, correct_first in ((AB, True), (BA, False)):
        row = encoder.encode(pair, order)
        whole = tokenizer.apply_chat_template(render(pair, order).messages, tokenize=False, add_generation_prompt=True)
        assert row.input_ids == tokenizer(whole, add_special_tokens=False)["input_ids"]
        assert (row.pair_id, row.order, row.correct_first, row.mm) == (pair.id, order, correct_first, None)
        assert tokenizer.decode([*row.input_ids, *row.first_ids]).endswith("assistant\nA")
        assert tokenizer.decode(row.second_ids) == "B"


@pytest.mark.parametrize("setting", ["auto", "The correct option is ", "ok\n</think>\n\n"])
def test_w6_no_prompt_ends_inside_a_thought(setting):
    tokenizer = byte_level(THINKING)
    encoder = PairEncoder(tokenizer, answer_prefix=setting)
    text = tokenizer.decode(encoder.encode(text_pair(), AB).input_ids)
    assert text.rfind("</think>") > text.rfind("<think>") > 0 and text.count("</think>") == 1
    assert text.endswith("<think>\n\n</think>\n\n" if setting == "auto" else setting)


def test_w6_a_thought_stays_open_when_asked():
    tokenizer = byte_level(THINKING)
    row = PairEncoder(tokenizer, answer_prefix="none").encode(text_pair(), AB)
    assert tokenizer.decode(row.input_ids).endswith("<think>\n")


def test_w6_tags_in_a_context_are_not_the_templates():
    for tags in ("<think>", "</think>"):
        encoder = PairEncoder(byte_level())
        assert encoder.prefix == ""
        text = encoder.text(encoder.prompt(text_pair(pos=f"it says {tags}"), AB))
        assert text.endswith("<|im_start|>assistant\n")
    assert PairEncoder(byte_level(THINKING)).prefix == "\n</think>\n\n"


@pytest.mark.parametrize(("opener", "closer"), THOUGHTS.items())
def test_w6_families_open_thoughts_with_tags_of_their_own(opener, closer):
    assert open_thought(f"assistant\n{opener}\n") == closer
    assert open_thought(f"assistant\n{opener}\n\n{closer}\n\n") is None
    assert answer_prefix_text("auto", f"assistant\n{opener}\n") == f"\n{closer}\n\n"


@pytest.mark.parametrize(
    ("setting", "prefix"),
    [
        ("auto", "<|channel|>final<|message|>"),
        ("It is ", "<|channel|>final<|message|>It is "),
        ("<|channel|>final<|message|>So ", "<|channel|>final<|message|>So "),
        ("none", ""),
    ],
)
def test_w6_an_answer_that_needs_a_channel_gets_it(setting, prefix):
    assert answer_prefix_text(setting, "<|end|><|start|>assistant") == prefix


def test_template_options_reach_the_template():
    tokenizer = byte_level(
        CHATML.replace(
            "assistant\n{% endif %}", "assistant\n{% if not deep %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
        )
    )
    quiet, deep = (PairEncoder(tokenizer, chat_template_kwargs={"deep": deep}) for deep in (False, True))
    assert quiet.ending.endswith("</think>\n\n") and deep.ending.endswith("assistant\n")


def test_w14_a_row_is_whole_however_long():
    tokenizer = byte_level()
    tokenizer.model_max_length = 64
    pair = text_pair(pos="red " * 3000, neg="grey " * 3000)
    row = PairEncoder(tokenizer).encode(pair, AB)
    assert tokenizer.decode(row.input_ids).count("red ") == 3000 and len(row.input_ids) > 27_000


def test_letters_are_resolved_when_the_encoder_is_made():
    with pytest.raises(LetterError):
        PairEncoder(blank_first(), answer_prefix="the")
    tokenizer = byte_level()
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        PairEncoder(tokenizer)


def processor_of(family: Family):
    """A real processor over a byte-level tokenizer."""
    return tiny_processor(family, tiny_tokenizer())


@pytest.mark.parametrize("family", Family)
def test_images_go_through_the_processor(family, tmp_path):
    pair = image_pair(tmp_path)
    processor = processor_of(family)
    encoder = PairEncoder(processor.tokenizer, processor)
    one, other = (encoder.encode(pair, order) for order in (AB, BA))
    assert one.mm is not None and set(one.mm) == {"pixel_values", "image_grid_thw", "mm_token_type_ids"}
    grid, merge = one.mm["image_grid_thw"], processor.image_processor.merge_size**2
    pad = processor.image_token_id
    assert grid.shape == (3, 3) and one.mm["pixel_values"].shape[0] == int(grid.prod(-1).sum())
    assert one.input_ids.count(pad) == int(grid.prod(-1).sum()) // merge
    assert one.mm["mm_token_type_ids"][0].tolist() == [int(token == pad) for token in one.input_ids]
    assert one.input_ids[-8:] == other.input_ids[-8:] and one.first_ids == other.first_ids
    # The two contexts change places, the image of the question stays.
    n = int(grid[0].prod())
    pixels, swapped = one.mm["pixel_values"], other.mm["pixel_values"]
    assert (pixels[:n] == swapped[:n]).all() and (pixels[n : 2 * n] == swapped[2 * n :]).all()
    assert not (pixels[n : 2 * n] == pixels[2 * n :]).all()


def test_a_text_pair_needs_no_image_from_a_processor():
    processor = processor_of(Family.QWEN3_VL)
    text_only = PairEncoder(processor.tokenizer).encode(text_pair(), AB)
    assert PairEncoder(processor.tokenizer, processor).encode(text_pair(), AB) == text_only


def test_the_size_of_images_is_an_option(tmp_path):
    processor = processor_of(Family.QWEN2_5_VL)
    small = PairEncoder(processor.tokenizer, processor, mm_processor_kwargs={"min_pixels": 784, "max_pixels": 784})
    large = PairEncoder(processor.tokenizer, processor)
    pair = image_pair(tmp_path)
    assert len(small.encode(pair, AB).input_ids) < len(large.encode(pair, AB).input_ids)


def test_images_that_cannot_be_read_are_named(tmp_path):
    pair = image_pair(tmp_path)
    with pytest.raises(ValueError, match="pair fox-0 has images, and there is no processor"):
        PairEncoder(byte_level()).encode(pair, AB)
    processor = processor_of(Family.QWEN2_5_VL)
    (tmp_path / "red.png").write_text("not an image")
    with pytest.raises(ValueError, match="pair fox-0: cannot read the image .*red.png"):
        PairEncoder(processor.tokenizer, processor).encode(pair, AB)
