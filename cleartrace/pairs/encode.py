"""A pair as token ids that end where the letter is to stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

from cleartrace.pairs.letters import LetterError, OptionLetters, resolve_letters
from cleartrace.pairs.prefix import AUTO, answer_prefix_text
from cleartrace.pairs.prompt import LETTERS, PairPrompt, instruction, render
from cleartrace.pairs.record import ImageRef, Order, Pair

NEIGHBOURS = 8
"""Tokens before the letter that must be those it was resolved behind: no tokenizer looks further back."""
_NOT_OF_THE_MODEL = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class EncodedPair:
    """One row.

    Args:
        input_ids: prompt and answer prefix. The logits of the last place decide.
        first_ids, second_ids: tokens of the first and of the second letter, one for each spelling.
        correct_first: whether the first letter is right.
        mm: what the processor made of the images (`pixel_values`, `image_grid_thw`, `mm_token_type_ids`), as tensors;
            None without images.
    """

    pair_id: str
    order: Order
    input_ids: list[int]
    first_ids: tuple[int, ...]
    second_ids: tuple[int, ...]
    correct_first: bool
    mm: dict[str, Any] | None = None


class PairEncoder:
    """Encodes pairs for one tokenizer or processor and one chat template.

    Args:
        tokenizer: of Hugging Face, with a chat template unless the processor has one.
        processor: needed for pairs with images.
        answer_prefix: `auto`, `none` or a prefill; see `answer_prefix_text`.
        letter_variants: take the spellings with and without a blank, where both exist.
        chat_template_kwargs: e.g. `{"enable_thinking": False}`.
        mm_processor_kwargs: e.g. `{"min_pixels": 784, "max_pixels": 1003520}`.

    Errors: `LetterError` when a letter is not one token of its own; `ValueError` without a chat template.
    """

    def __init__(
        self,
        tokenizer: Any,
        processor: Any = None,
        letters: tuple[str, str] = LETTERS,
        answer_prefix: str = AUTO,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        mm_processor_kwargs: Mapping[str, Any] | None = None,
        *,
        letter_variants: bool = False,
        include_issue: bool = False,
    ) -> None:
        self.letters = (letters[0], letters[1])
        self._tokenizer, self._processor = tokenizer, processor
        self._template_kwargs, self._mm_kwargs = dict(chat_template_kwargs or {}), dict(mm_processor_kwargs or {})
        self._include_issue = include_issue
        self.ending = self._common_ending()
        self.prefix = answer_prefix_text(answer_prefix, self.ending)
        sample = self._sample("1") + self.prefix
        self.options: OptionLetters = resolve_letters(self._tokenize, sample, self.letters, letter_variants)
        self._last_ids = self._tokenize(sample)[-NEIGHBOURS:]

    def text(self, prompt: PairPrompt) -> str:
        """The prompt as the template writes it, with the answer prefix. Images are one placeholder each."""
        return self._template(prompt.messages) + self.prefix

    def prompt(self, pair: Pair, order: Order, *, blind: bool = False) -> PairPrompt:
        """The rendered pair."""
        return render(pair, order, self.letters, include_issue=self._include_issue, blind=blind)

    def encode(self, pair: Pair, order: Order, *, blind: bool = False) -> EncodedPair:
        """Encode `pair`, whole: nothing is ever cut (W14).

        Errors: `ValueError` for images without a processor or an image that cannot be read.
        """
        prompt = self.prompt(pair, order, blind=blind)
        text = self.text(prompt)
        ids, mm = self._with_images(pair, prompt, text) if prompt.images else (self._tokenize(text), None)
        if ids[-NEIGHBOURS:] != self._last_ids:
            raise LetterError(f"pair {pair.id}: its prompt does not end as the chat template's other prompts do")
        correct_first = prompt.correct == self.letters[0]
        return EncodedPair(pair.id, order, ids, self.options.first_ids, self.options.second_ids, correct_first, mm)

    def _tokenize(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _template(self, messages: list[dict[str, Any]]) -> str:
        holder = self._processor if getattr(self._processor, "chat_template", None) else self._tokenizer
        if not getattr(holder, "chat_template", None):
            raise ValueError("the tokenizer has no chat template; use an instruct model, or set chat_template")
        return holder.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **self._template_kwargs)

    def _sample(self, start: str) -> str:
        content = f"{start}\n\n{instruction(self.letters)}"
        return self._template([{"role": "user", "content": content}])

    def _common_ending(self) -> str:
        """What all prompts end with: the instruction, and what the template writes behind it."""
        return commonprefix([self._sample(start)[::-1] for start in ("1", "2")])[::-1]

    def _with_images(self, pair: Pair, prompt: PairPrompt, text: str) -> tuple[list[int], dict[str, Any]]:
        if self._processor is None:
            raise ValueError(f"pair {pair.id} has images, and there is no processor; use a vision-language model")
        images = [_load(pair, image) for image in prompt.images]
        made = dict(self._processor(text=[text], images=images, return_tensors="pt", **self._mm_kwargs))
        ids = made["input_ids"][0].tolist()
        return ids, {name: value for name, value in made.items() if name not in _NOT_OF_THE_MODEL}


def _load(pair: Pair, image: ImageRef) -> Any:
    from PIL import Image

    try:
        with Image.open(image.path) as opened:
            return opened.convert("RGB")
    except OSError as error:
        raise ValueError(f"pair {pair.id}: cannot read the image {image.path} ({error})") from None
