"""Make a tiny vision-language model with random weights: a Hugging Face folder for tests and dry runs on a CPU.

    python -m recipe.contextrl.tiny.build qwen3_vl runs/models/tiny-qwen3-vl

The architecture, the image processor and the positions are those of Qwen2.5-VL or Qwen3-VL; only the sizes are small
and the tokenizer spells bytes. It has learned nothing. Load the folder with `trust_remote_code=True`: it brings its
processor code (`image_only.py`), which works without torchvision.
"""

from __future__ import annotations

import argparse
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoModelForImageTextToText, GenerationConfig, PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from recipe.contextrl.tiny import image_only

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
SPECIAL = (PAD, START, END, VISION_START, VISION_END, IMAGE, VIDEO)
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
}
VISION = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
MERGE = 2


class Family(str, Enum):
    """The two architectures of the multimodal recipes."""

    QWEN2_5_VL = "qwen2_5_vl"
    QWEN3_VL = "qwen3_vl"

    @property
    def patch_size(self) -> int:
        return 14 if self is Family.QWEN2_5_VL else 16


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, then the special tokens; the letter A is id 32, as it is for Qwen."""
    bytes_in_order = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(BPE(vocab={piece: i for i, piece in enumerate(bytes_in_order)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START, VISION_START, VISION_END, IMAGE, VIDEO],
        clean_up_tokenization_spaces=False,
        model_max_length=TEXT["max_position_embeddings"],
        chat_template=(Path(__file__).parent / "chat_template.jinja").read_text(),
    )


def tiny_config(family: Family, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The model configuration; its token ids are those of `tokenizer`."""
    ids: dict[str, Any] = {text: tokenizer.convert_tokens_to_ids(text) for text in SPECIAL}
    text: dict[str, Any] = {**TEXT, "vocab_size": len(tokenizer), "rope_parameters": dict(ROPE)}
    text |= {"pad_token_id": ids[PAD], "eos_token_id": ids[END], "bos_token_id": None}
    vision: dict[str, Any] = {**VISION, "patch_size": family.patch_size, "spatial_merge_size": MERGE}
    tokens: dict[str, Any] = {
        "image_token_id": ids[IMAGE],
        "video_token_id": ids[VIDEO],
        "vision_start_token_id": ids[VISION_START],
        "vision_end_token_id": ids[VISION_END],
    }
    if family is Family.QWEN2_5_VL:
        vision |= {"window_size": 4 * family.patch_size, "fullatt_block_indexes": [1]}
        return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **tokens)
    text |= {"head_dim": 16, "rope_parameters": {**ROPE, "mrope_interleaved": True}}
    vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **tokens)


def tiny_processor(family: Family, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The family's real processor, without video."""
    cell = family.patch_size * MERGE
    images = Qwen2VLImageProcessorPil(
        patch_size=family.patch_size,
        merge_size=MERGE,
        size={"shortest_edge": cell * cell, "longest_edge": 64 * cell * cell},
    )
    kind = image_only.Qwen2_5_VLProcessor if family is Family.QWEN2_5_VL else image_only.Qwen3VLProcessor
    return kind(images, tokenizer, chat_template=tokenizer.chat_template)


def build(family: Family, out: Path, seed: int = 0) -> Path:
    """Write model, tokenizer and processor to the folder `out`, and return it. The seed fixes the weights."""
    tokenizer = tiny_tokenizer()
    config = tiny_config(family, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, eos_token_id=[end], pad_token_id=pad)
    model.save_pretrained(out)
    processor = tiny_processor(family, tokenizer)
    type(processor).register_for_auto_class("AutoProcessor")
    processor.save_pretrained(out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", type=Family, choices=list(Family), metavar="{qwen2_5_vl,qwen3_vl}")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"saved {build(args.family, args.out, args.seed)}")


if __name__ == "__main__":
    main()
