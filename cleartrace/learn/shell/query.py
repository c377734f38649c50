"""jq, of which paths, `[]`, `keys` and `length` are left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cleartrace.learn.shell.files import Files
from cleartrace.learn.shell.flags import Flags
from cleartrace.learn.shell.lines import named
from cleartrace.learn.shell.output import Output
from cleartrace.learn.shell.words import Refused, Word

JSON_BYTES = 2_000_000
"""Of one JSON text: it is parsed in one go, which no limit of time stops."""
_STEP = re.compile(r'\.?\[(-?\d{1,9})\]|\.?\[\]()|\.?\["([^"]+)"\]|\.([A-Za-z_][\w-]*)')


def jq(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("jq", plain="rc").read(words)
    if len(arguments.rest) < 2:
        raise Refused("jq needs a path and a file, as in jq .steps[0].text trajectory.jsonl")
    steps, last = _parse(arguments.rest[0].text)
    for path in named(arguments.rest[1:], files, out):
        for value in _values(path, files, out):
            for found in _walk(value, steps, out):
                out.line(_text(_last(found, last), arguments.has("r")))


def _parse(text: str) -> tuple[list[str | int | None], str]:
    """(steps, `keys` or `length` or ''): a name, an index, or None for every element."""
    body, _, last = text.partition("|")
    body, last = body.strip(), last.strip()
    if body in ("keys", "length"):
        body, last = ".", body
    if last not in ("", "keys", "length"):
        raise Refused(f"after | jq knows keys and length, not {last!r}")
    steps: list[str | int | None] = []
    rest = "" if body == "." else body
    while rest:
        found = _STEP.match(rest)
        if found is None:
            raise Refused(f"jq does not know {rest!r}; a path reads like .a.b[0].c or .items[].name")
        index, every, quoted, name = found.groups()
        steps.append(int(index) if index is not None else None if every is not None else quoted or name)
        rest = rest[found.end() :]
    return steps, last


def _values(path: Path, files: Files, out: Output) -> Iterator[Any]:
    for text in _texts(path, files, out):
        try:
            yield json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Refused(f"{files.name(path)} is not JSON ({error})") from None


def _texts(path: Path, files: Files, out: Output) -> Iterator[str]:
    """Each line of a .jsonl, or the whole file."""
    with files.open(path) as file:
        read, what = (file.readline, "a line") if path.suffix == ".jsonl" else (file.read, "a file")
        while data := read(JSON_BYTES + 1):
            out.tick()
            if len(data) > JSON_BYTES:
                raise Refused(f"{files.name(path)}: jq reads at most {JSON_BYTES:,} bytes of {what}")
            if text := data.decode("utf-8", "replace").strip():
                yield text


def _walk(value: Any, steps: Sequence[str | int | None], out: Output) -> Iterator[Any]:
    out.tick()
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if step is None:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for one in inner:
            yield from _walk(one, rest, out)
    elif isinstance(step, str):
        yield from _walk(value.get(step) if isinstance(value, dict) else None, rest, out)
    else:
        there = isinstance(value, list) and -len(value) <= step < len(value)
        yield from _walk(value[step] if there else None, rest, out)


def _last(value: Any, last: str) -> Any:
    if last == "length":
        return len(value) if isinstance(value, (str, list, dict)) else 0
    if last == "keys":
        return sorted(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return value


def _text(value: Any, raw: bool) -> str:
    return value if raw and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
