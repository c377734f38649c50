"""Trajectory files as they are published, one row in memory at a time.

Known by their columns: Kwai-Klear `instance_id, messages`; SWE-smith `messages` as a JSON string with `resolved` and
`patch`; Nebius `trajectory` with roles `ai | user | system`, `generated_patch`, `target`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.pairs.record import Message

_ROLES = {"ai": "assistant", "assistant": "assistant", "user": "user", "system": "system", "tool": "tool"}


@dataclass(frozen=True)
class Trajectory:
    """One run on one task. `resolved` is None where the data does not say."""

    instance_id: str
    messages: tuple[Message, ...]
    patch: str = ""
    resolved: bool | None = None


@dataclass(frozen=True)
class Located:
    """`at`: byte offset of the line in a JSON lines file, row number in parquet. `next`: where the next row begins."""

    at: int
    next: int
    row: dict[str, Any]


def _text(content: Any) -> str:
    """Content that is a string, or a list of parts with text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return ""


def _call(raw: dict[str, Any]) -> str:
    """A tool call in the form that SWE-agent's XML mode writes, so that commands are read in one way."""
    function = raw.get("function") or raw
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = {"arguments": arguments}
    parameters = "".join(f"<parameter={name}>{value}</parameter>\n" for name, value in arguments.items())
    return f"<function={function.get('name', '')}>\n{parameters}</function>"


def _message(raw: Any) -> Message:
    role = _ROLES.get(raw.get("role", ""))
    if role is None:
        raise ValueError(f"unknown role {raw.get('role')!r}")
    content = _text(raw.get("content")) or _text(raw.get("text")) or _text(raw.get("system_prompt"))
    content = "\n".join((content, *map(_call, raw.get("tool_calls") or ()))).strip("\n")
    return Message(role=role, content=content)  # pyright: ignore[reportArgumentType]


def trajectory(row: dict[str, Any]) -> Trajectory:
    """A row of any of the three forms.

    Raises:
        ValueError: a column is missing or holds something else.
    """
    raw = row.get("messages", row.get("trajectory"))
    if isinstance(raw, str):
        raw = json.loads(raw)
    if not isinstance(raw, list) or not isinstance(row.get("instance_id"), str):
        raise ValueError("needs the columns instance_id and messages (or trajectory)")
    resolved = row.get("resolved", row.get("target"))
    return Trajectory(
        row["instance_id"],
        tuple(_message(message) for message in raw),
        row.get("patch") or row.get("generated_patch") or "",
        None if resolved is None else bool(resolved),
    )


def _json_lines(path: Path, start: int) -> Iterator[Located]:
    with path.open("rb") as file:
        file.seek(start)
        while line := file.readline():
            begin, start = start, start + len(line)
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, byte {begin}", f"not JSON ({error})") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, byte {begin}", "not a JSON object")
            yield Located(begin, start, row)


def _parquet(path: Path, start: int, wanted: frozenset[int] | None = None, batch_rows: int = 64) -> Iterator[Located]:
    from cleartrace.data.files import open_parquet

    file = open_parquet(path)
    first = 0
    for group in range(file.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        if end <= start or (wanted is not None and not any(first <= at < end for at in wanted)):
            first = end
            continue
        for batch in file.iter_batches(batch_rows, row_groups=[group]):
            numbers = range(first, first + batch.num_rows)
            first = numbers.stop
            if numbers.stop > start and (wanted is None or not wanted.isdisjoint(numbers)):
                yield from (
                    Located(n, n + 1, row)
                    for n, row in zip(numbers, batch.to_pylist(), strict=True)
                    if n >= start and (wanted is None or n in wanted)
                )


def rows(path: Path, start: int = 0) -> Iterator[Located]:
    """Rows of a `.jsonl` or `.parquet` file from a position that an earlier `Located.next` gave."""
    if not path.is_file():
        raise DataError(path, "there is no such file")
    return _parquet(path, start) if path.suffix == ".parquet" else _json_lines(path, start)


def rows_at(path: Path, positions: Sequence[int]) -> Iterator[Located]:
    """The rows at the given positions, in ascending order."""
    wanted = sorted(set(positions))
    if path.suffix != ".parquet":
        for at in wanted:
            yield next(_json_lines(path, at))
        return
    if wanted:
        yield from _parquet(path, wanted[0], frozenset(wanted))
