"""RewardBench 2 (Malik et al. 2025, arXiv:2506.01937) as JSON lines, and its splits."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleartrace.data.files import read_json_lines

TIES = "Ties"
SPLITS = ("train", "val", "test")
SHARES = (0.70, 0.15, 0.15)
SPLIT_SEED = 42


class _Row(BaseModel):
    """A line of the file. `models` and `additional_metadata` are left unread: they tell who wrote which answer."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str
    prompt: str
    chosen: list[str] = Field(min_length=1)
    rejected: list[str] = Field(min_length=1)
    subset: str = Field(min_length=1)


@dataclass(frozen=True)
class Item:
    """A prompt with its answers, the correct ones first as in the file.

    Args:
        pair: number of the pair that a Ties prompt belongs to, "" for others.
        half: `ref` (one correct answer) or `tied` (many) of that pair.
    """

    id: str
    prompt: str
    correct: tuple[str, ...]
    incorrect: tuple[str, ...]
    subset: str
    pair: str = ""
    half: str = ""

    @property
    def group(self) -> str:
        return f"ties-{self.pair}" if self.pair else self.id

    @property
    def answers(self) -> tuple[str, ...]:
        return self.correct + self.incorrect


def read(path: Path) -> list[Item]:
    """The file's items in its order. Raises ValueError with the line that is wrong, also for a second use of an id."""
    items: dict[str, Item] = {}
    for number, value in read_json_lines(path):
        try:
            item = _item(_Row.model_validate(value))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the line"
            raise ValueError(f"{path}, line {number}: {place}: {first['msg']}") from None
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if item.id in items:
            raise ValueError(f"{path}, line {number}: the id {item.id!r} was used before")
        items[item.id] = item
    if not items:
        raise ValueError(f"{path} holds no items")
    return list(items.values())


def _item(row: _Row) -> Item:
    pair = half = ""
    if row.subset == TIES:
        half, _, pair = row.id.partition(":")
        if half not in ("ref", "tied") or not pair:
            raise ValueError(f"a Ties id is `ref:<number>` or `tied:<number>`, not {row.id!r}")
    return Item(
        # An id may become the name of a file, and a colon is not good in one everywhere.
        id=row.id.replace(":", "-"),
        prompt=row.prompt,
        correct=tuple(row.chosen),
        incorrect=tuple(row.rejected),
        subset=row.subset,
        pair=pair,
        half=half,
    )


def splits(items: Sequence[Item], seed: int = SPLIT_SEED) -> dict[str, str]:
    """Item id to split: 70/15/15 of each subset, never cutting a group.

    A subset of n items fills train up to 0.70 n and val up to 0.85 n; what is left is test.
    """
    assigned: dict[str, str] = {}
    for subset, groups in _by_subset(items).items():
        order = sorted(groups)
        random.Random(f"{seed}:rewardbench:splits:{subset}").shuffle(order)
        n, placed = sum(len(ids) for ids in groups.values()), 0
        for group in order:
            placed += len(groups[group])
            split = next((name for name, limit in _limits() if placed <= limit * n + 1e-9), SPLITS[-1])
            assigned.update(dict.fromkeys(groups[group], split))
    return assigned


def _limits() -> list[tuple[str, float]]:
    return [(name, sum(SHARES[: index + 1])) for index, name in enumerate(SPLITS)]


def _by_subset(items: Sequence[Item]) -> Mapping[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for item in items:
        found.setdefault(item.subset, {}).setdefault(item.group, []).append(item.id)
    return found
