"""How many tokens a prompt has, counted as veRL's length filter counts them: template, tools and all (D49)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.names import NOTOOL_SUFFIX
from cleartrace.tools.code_interpreter import TOOL_SCHEMA


@dataclass(frozen=True)
class PromptLimit:
    """`tokenizer` has a chat template. `tools`: count the tool's schema, but for rows of a `*_notool` profile."""

    tokenizer: Any
    max_tokens: int
    tools: bool = True

    def tokens(self, row: Mapping[str, Any]) -> int:
        """Tokens of the row's prompt up to the start of the answer."""
        profile = str((row.get("extra_info") or {}).get("profile") or "")
        tools = [TOOL_SCHEMA] if self.tools and not profile.endswith(NOTOOL_SUFFIX) else None
        encoded = self.tokenizer.apply_chat_template(
            row["prompt"], tools=tools, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return len(encoded)


def load_limit(folder: Path, max_tokens: int, tools: bool = True) -> PromptLimit:
    """Errors: `ValueError` for a folder without a tokenizer or without a chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"no tokenizer in {folder}: {str(error).splitlines()[0]}") from None
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(f"the tokenizer in {folder} has no chat template")
    return PromptLimit(tokenizer, max_tokens, tools)
