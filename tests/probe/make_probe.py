"""Pairs, readers that choose by a known rule, and tiny models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from cleartrace.pairs.record import ImageRef, Message, Pair, PairKind, both_directions
from cleartrace.probe.answer import Answer
from cleartrace.probe.ask import Ask
from cleartrace.probe.names import Status

ROOT = Path(__file__).resolve().parents[2]
COLOURS = ("red", "blue", "green", "white")


def text_pairs(n: int, *, per_group: int = 1, source: str = "foxes", kind: PairKind = PairKind.TEXT) -> list[Pair]:
    """`n` pairs: both directions of n / 2 questions whose answer stands in the context."""
    found: list[Pair] = []
    for number in range((n + 1) // 2):
        here, there = COLOURS[number % 4], COLOURS[(number + 1) % 4]
        sides = tuple(f"The fox {number} is {colour}." for colour in (here, there))
        if kind is PairKind.TRAJECTORY:
            sides = tuple(
                (Message(role="assistant", content=text), Message(role="tool", content="ok")) for text in sides
            )
        found += both_directions(
            id=f"{source}-{number}",
            kind=kind,
            question=f"What colour is the fox {number}?",
            answers=(here, there),
            contexts=(sides[0], sides[1]),
            group=f"{source}/{number // per_group}",
            source=source,
        )
    return found[:n]


def image_pairs(folder: Path, n: int) -> list[Pair]:
    """Both directions of questions about the colour of a square."""
    from PIL import Image

    for colour in COLOURS:
        Image.new("RGB", (56, 56), colour).save(folder / f"{colour}.png")
    return [
        pair.model_copy(
            update={
                "kind": PairKind.IMAGE,
                "pos": ImageRef(path=str(folder / f"{pair.answer}.png")),
                "neg": ImageRef(path=str(folder / f"{other}.png")),
            }
        )
        for pair in text_pairs(n, source="squares")
        for other in [next(word for word in COLOURS if f"is {word}." in str(pair.neg))]
    ]


class RuleReader:
    """Chooses by a rule on the ask: the letter it says, with a margin of two nats."""

    def __init__(self, rule: Callable[[Ask], str]) -> None:
        self.rule = rule
        self.asked: list[str] = []

    def answer(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        for ask in asks:
            self.asked.append(ask.key)
            letter = self.rule(ask)
            margin = {ask.letters[0]: 2.0, ask.letters[1]: -2.0}.get(letter)
            status = Status.ANSWERED if letter else Status.INVALID
            fields: dict[str, Any] = {"letter": letter, "margin": margin}
            yield Answer(
                prompt=ask.key, pair_id=ask.pair_id, arm=ask.arm, order=ask.order.value, status=status, **fields
            )


def text_of(ask: Ask) -> str:
    content = ask.prompt.messages[0]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def contexts_of(ask: Ask) -> tuple[str, str]:
    """What is shown under the first and the second letter."""
    _, _, rest = text_of(ask).partition("Context A:\n")
    first, _, second = rest.partition("Context B:\n")
    return first, second.partition("Exactly one")[0]


def reads_the_answer(ask: Ask) -> str:
    """The context that says the answer; the first letter where neither or both do."""
    answer = text_of(ask).partition("Answer under test:\n")[2].partition("\n")[0]
    first, second = (f"is {answer}." in context for context in contexts_of(ask))
    return "B" if second and not first else "A"


def looks_at_contexts_alone(ask: Ask) -> str:
    """The context that comes first in the alphabet, whatever the answer."""
    first, second = contexts_of(ask)
    return "A" if first <= second else "B"


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    """One token for each byte, in ChatML with vision tags."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    found = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tags = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    found.add_special_tokens({"additional_special_tokens": tags})
    found.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for part in m.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
        "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return found


def tiny_text_model(seed: int = 0, **changes: Any) -> Any:
    """A random Qwen3 of two layers over the byte tokenizer."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "initializer_range": 0.3,
    }
    return Qwen3ForCausalLM(Qwen3Config(**{**sizes, **changes}))
