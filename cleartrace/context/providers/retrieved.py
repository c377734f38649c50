"""Advice of the nearest: rows of a file, or entries of a playbook, chosen for each task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.context.playbook.files import load
from cleartrace.context.playbook.render import indented, part
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers.base import Count, answer, cap_state, state_hash
from cleartrace.context.providers.search import Embedder, Method, index_of
from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.episodes.types import Context, PartKind, PartRef, Task
from cleartrace.llm.tokens import count_tokens

TITLE = "# Advice from similar work"
_KEYS, _TEXTS, _IDS = ("key", "input", "task_description"), ("text", "guidance", "content"), ("id", "task_id")


@dataclass(frozen=True)
class Row:
    """`key` is searched, `text` is said. `task_id`: the task it was learned from, '' where there is none."""

    part: PartRef
    key: str
    text: str
    task_id: str = ""


def rows_of(playbook: Playbook) -> list[Row]:
    """Entries, searched and said by their texts."""
    return [Row(part(entry), entry.text, entry.text) for entry in playbook.entries]


def load_rows(path: Path) -> list[Row]:
    """Rows of a JSON lines file, or entries of a playbook (`.json`).

    A line has `key` (or `input`, `task_description`), `text` (or `guidance`, `content`) and, if it likes, `id` (or
    `task_id`). Errors: `DataError` that names the line.
    """
    if path.suffix == ".json":
        return rows_of(load(path))
    rows: list[Row] = []
    seen: set[str] = set()
    for number, value in read_json_lines(path):
        row = _row(value, number, f"{path}, line {number}")
        if row.part.id in seen:
            raise DataError(f"{path}, line {number}", f"a row before it has the id {row.part.id}")
        seen.add(row.part.id)
        rows.append(row)
    return rows


def _row(value: dict[str, Any], number: int, where: str) -> Row:
    key, text = (next((value[name] for name in names if name in value), None) for names in (_KEYS, _TEXTS))
    for found, names in ((key, _KEYS), (text, _TEXTS)):
        if not isinstance(found, str) or not found.strip():
            raise DataError(where, f"no text under {', '.join(names)}")
    id = next((str(value[name]) for name in _IDS if value.get(name) not in (None, "")), f"r{number}")
    return Row(PartRef(kind=PartKind.ROW, id=id), str(key), str(text), str(value.get("task_id") or ""))


class Retrieved:
    """The `k` rows nearest to a task's text, nearest first.

    Rows that have nothing in common with the task are not said; where none is left, it abstains. Equal scores go by the
    order of the rows. A row for which there is no room under `cap` is passed over.

    Args:
        least: smallest score of a row that is said.
        own: say rows that were learned from the very task that is asked about.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        k: int = 1,
        method: Method | str = Method.BM25,
        embedder: Embedder | None = None,
        cap: int | None = None,
        least: float = 0.0,
        own: bool = True,
        count: Count = count_tokens,
    ) -> None:
        if k < 1:
            raise ValueError(f"at least one row is retrieved, got k = {k}")
        self.rows, self.k, self.least, self.own = tuple(rows), k, least, own
        self.cap, self.count = cap, count
        self._index = index_of(Method(method), [row.key for row in self.rows], embedder)
        self._slow = embedder is not None
        said = [[row.part.model_dump(mode="json"), row.key, row.text, row.task_id] for row in self.rows]
        self._hash = state_hash("retrieved", said, k, self._index.name, least, own, cap_state(cap, count))

    @property
    def hash(self) -> str:
        return self._hash

    async def context_for(self, task: Task, seed: int) -> Context:
        scores = (
            await asyncio.to_thread(self._index.scores, task.input) if self._slow else self._index.scores(task.input)
        )
        order = sorted(range(len(self.rows)), key=lambda n: (-float(scores[n]), n))
        near = [self.rows[n] for n in order if scores[n] > 0 and scores[n] >= self.least]
        rows = [row for row in near if self.own or row.task_id != task.id or not row.task_id][: self.k]
        while True:
            kept = self._fitting(rows)
            text = _text(kept)
            if not kept or self.cap is None or self.count(text) <= self.cap:
                return answer(text, tuple(row.part for row in kept), self._hash, self.cap, self.count)
            rows = kept[:-1]

    def _fitting(self, rows: Sequence[Row]) -> list[Row]:
        """Rows whose pieces fit one after the other; the whole is counted afterwards."""
        if self.cap is None:
            return list(rows)
        left, kept = self.cap - self.count(f"{TITLE}\n"), []
        for row in rows:
            price = self.count(f"\n{_line(row)}")
            if price <= left:
                left -= price
                kept.append(row)
        return kept


def _line(row: Row) -> str:
    return f"- [{row.part.id}] {indented(row.text)}"


def _text(rows: Sequence[Row]) -> str:
    return "\n".join([TITLE, "", *(_line(row) for row in rows)]) if rows else ""
