"""jq, of which paths, `[]`, `keys` and `length` are left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cleartrace.learn.shell.files import Files
from cleartrace.learn.shell.flags import Flags
from cleartrace.learn.shell.lines import read_lines
from cleartrace.learn.shell.output import Output
from cleartrace.learn.shell.words import Refused, Word

JSON_BYTES = 20_000_000
_STEP = re.compile(r'\.?\[(-?\d{1,9})\]|\.?\[\]()|\.?\["([^"]+)"\]|\.([A-Za-z_][\w-]*)')


def jq(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("jq", plain="rc").read(words)
    if len(arguments.rest) < 2:
        raise Refused("jq needs a path and a file, as in jq .steps[0].text trajectory.jsonl")
    steps, last = _parse(arguments.rest[0].text)
    for path in (path for word in arguments.rest[1:] for path in files.find(word)):
        for value in _values(path, files, out):
            for found in _walk(value, steps):
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
    lines = read_lines(files, path, out)
    if path.suffix == ".jsonl":
        texts: Iterator[str] = (line for line in lines if line.strip())
    elif path.stat().st_size > JSON_BYTES:
        raise Refused(f"{files.name(path)} has {path.stat().st_size:,} bytes; jq reads at most {JSON_BYTES:,}")
    else:
        texts = iter(["\n".join(lines)])
    for text in texts:
        try:
            yield json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Refused(f"{files.name(path)} is not JSON ({error})") from None


def _walk(value: Any, steps: Sequence[str | int | None]) -> Iterator[Any]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if step is None:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for one in inner:
            yield from _walk(one, rest)
    elif isinstance(step, str):
        yield from _walk(value.get(step) if isinstance(value, dict) else None, rest)
    else:
        there = isinstance(value, list) and -len(value) <= step < len(value)
        yield from _walk(value[step] if there else None, rest)


def _last(value: Any, last: str) -> Any:
    if last == "length":
        return len(value) if isinstance(value, (str, list, dict)) else 0
    if last == "keys":
        return sorted(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return value


def _text(value: Any, raw: bool) -> str:
    return value if raw and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
