"""Tasks of the shop, from the file that `serve.py` writes: one goal a line, in the server's own order."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.episodes.types import Task

TEST, DEV = range(0, 500), range(500, 1500)
"""Goals by number, as the paper splits them; train is what follows."""


def read_tasks(path: Path, items: Path | None) -> list[Task]:
    """Tasks whose target is among the items; all without `items`.

    The paper splits goals by number, so a product may be wanted in several splits. A product is a group here and stays
    in one split: goals of train and dev whose product occurs in test are left out, and goals of train whose product
    occurs in dev. A group's name is a digest, as the product itself would be the answer.

    Errors: `DataError` that names the line.
    """
    wanted = None if items is None else read_items(items)
    goals = [_goal(value, f"{path}, line {line}") for line, value in read_json_lines(path)]
    kept = [goal for goal in goals if wanted is None or goal[2] in wanted]
    taken: dict[str, str] = {}
    for split in ("test", "dev", "train"):
        for index, _, asin in kept:
            if _split(index) == split:
                taken.setdefault(asin, split)
    found = [
        Task(environment="webshop", id=f"goal_{index}", input=text, split=_split(index), group=_digest(asin))
        for index, text, asin in kept
        if taken[asin] == _split(index)
    ]
    if not found:
        raise DataError(path, "it holds no goal whose target is among the items")
    return found


def read_items(path: Path) -> set[str]:
    """Product numbers (ASIN): one a line, or a JSON list of them or of the shop's own product objects."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if text.lstrip().startswith("[") else text.split()
        items = {one["asin"] if isinstance(one, dict) else one for one in found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(path, f"no list of products ({error!r})") from None
    if not items or not all(isinstance(one, str) for one in items):
        raise DataError(path, "no list of products: it is empty, or holds what is no product number")
    return {one.upper() for one in items}


def _goal(value: dict[str, object], where: str) -> tuple[int, str, str]:
    index, text, asin = value.get("index"), value.get("instruction"), value.get("asin")
    if not isinstance(index, int) or not isinstance(text, str) or not isinstance(asin, str) or index < 0:
        raise DataError(where, "a goal has `index`, a number, and `instruction` and `asin`, texts")
    return index, " ".join(text.split()), asin.upper()


def _split(index: int) -> str:
    return "test" if index in TEST else "dev" if index in DEV else "train"


def _digest(asin: str) -> str:
    return hashlib.sha256(f"webshop:{asin}".encode()).hexdigest()[:12]
