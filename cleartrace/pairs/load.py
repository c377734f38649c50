"""An encoder from a model folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.prefix import AUTO
from cleartrace.pairs.prompt import LETTERS

_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class EncoderSettings:
    """How rows are to be encoded; `folder` has a tokenizer, and a processor where the model sees images."""

    folder: Path
    letters: tuple[str, str] = LETTERS
    answer_prefix: str = AUTO
    include_issue: bool = False
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    mm_processor_kwargs: dict[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False

    def load(self) -> PairEncoder:
        """Nothing is downloaded.

        Errors: `ValueError` for a folder without a tokenizer; those of `PairEncoder`.
        """
        if not self.folder.is_dir():
            raise ValueError(f"there is no model folder {self.folder}")
        from transformers import AutoProcessor, AutoTokenizer

        options = {"local_files_only": True, "trust_remote_code": self.trust_remote_code}
        has_processor = any((self.folder / name).exists() for name in _PROCESSOR_FILES)
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **options)
            processor = AutoProcessor.from_pretrained(self.folder, **options) if has_processor else None
        except (OSError, ValueError, ImportError) as error:
            raise ValueError(f"{self.folder}: {' '.join(str(error).split())}") from None
        return PairEncoder(
            tokenizer,
            processor,
            self.letters,
            self.answer_prefix,
            self.chat_template_kwargs,
            self.mm_processor_kwargs,
            include_issue=self.include_issue,
        )


def json_object(text: str) -> dict[str, Any]:
    """Errors: `ValueError` for what is not the JSON text of an object."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f'{text} is not a JSON object such as {{"enable_thinking": false}}')
    return value
