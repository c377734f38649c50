"""What a sample is known by: the content of its row, never its position (D50)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cleartrace.data.rows import sample_id_of


def mapping_of(value: Any) -> dict[str, Any]:
    """A column that holds a struct, or the same as JSON text; {} for null, blank text and what is not an object.

    Example:
        >>> mapping_of('{"ground_truth": "7"}')
        {'ground_truth': '7'}
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}


def canonical_truth(truth: Any) -> str:
    """One text for an answer key, whether the file keeps it as text, as JSON text, as a struct or as a number.

    A parquet struct fills the keys that a row does not have with nulls, so nulls are left out.

    Example:
        >>> canonical_truth({"outputs": ["3"], "inputs": ["1 2"], "fn_name": None})
        '{"inputs": ["1 2"], "outputs": ["3"]}'
    """
    if isinstance(truth, str):
        parsed = mapping_of(truth) if truth.lstrip().startswith("{") else {}
        if not parsed:
            return truth.strip()
        truth = parsed
    if truth is None:
        return ""
    if isinstance(truth, Mapping) or hasattr(truth, "__len__"):
        return json.dumps(_plain(truth), sort_keys=True, ensure_ascii=False)
    if isinstance(truth, float) and truth.is_integer():
        return str(int(truth))
    return str(truth)


def _plain(value: Any) -> Any:
    """Dictionaries without nulls, and lists in place of arrays."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, str) or not isinstance(value, Iterable):
        to_python = getattr(value, "item", None)
        return value if to_python is None else to_python()
    return [_plain(item) for item in value]


def user_text(prompt: Any) -> str:
    """The text of a prompt's user messages; a prompt that is plain text is its own."""
    if isinstance(prompt, str):
        return prompt
    contents = [message["content"] for message in prompt if message["role"] == "user"]
    return "\n\n".join(contents)


def sample_id_of_row(row: Mapping[str, Any]) -> str:
    """The id in `extra_info.sample_id`, else the hash of source, prompt and answer key.

    `row` has veRL's columns `data_source`, `prompt`, `reward_model` and, where it exists, `extra_info`; the last two
    may be JSON text. A file that was re-ordered, filtered or prepared gives the same ids.
    """
    if known := mapping_of(row.get("extra_info")).get("sample_id"):
        return str(known)
    truth = canonical_truth(mapping_of(row["reward_model"]).get("ground_truth"))
    return sample_id_of(str(row["data_source"]), user_text(row["prompt"]), truth)
