"""sed, of which only printing is left: `sed -n 'A,Bp'`. No script can write, run or change anything."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from cleartrace.learn.shell.files import Files
from cleartrace.learn.shell.flags import Flags
from cleartrace.learn.shell.grep import Pattern
from cleartrace.learn.shell.lines import named, read_lines
from cleartrace.learn.shell.output import Output
from cleartrace.learn.shell.words import Refused, Word

_RANGE = re.compile(r"(\d{1,9})(?:,(\d{1,9}|\$))?p|(\$)p")
_MATCH = re.compile(r"/((?:[^/\\]|\\.)+)/p", re.DOTALL)


def sed(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("sed", plain="nE", valued="e").read(words)
    rest = list(arguments.rest)
    script = arguments.flags.get("e") or (rest.pop(0).text if rest else "")
    if not arguments.has("n"):
        raise Refused("sed is there for printing only: sed -n 'A,Bp' FILE")
    if not rest:
        raise Refused("sed needs a file")
    for path in named(rest, files, out):
        for number, line in _picked(script, path, files, out):
            out.line(line, number)


def _picked(script: str, path: Path, files: Files, out: Output) -> Iterator[tuple[int, str]]:
    numbered = enumerate(read_lines(files, path, out), 1)
    if found := _RANGE.fullmatch(script):
        if found[3]:
            yield from deque(numbered, maxlen=1)
            return
        first, end = int(found[1]), found[2]
        stop = None if end == "$" else int(end or first)
        for number, line in numbered:
            if stop is not None and number > stop:
                return
            if number >= first:
                yield number, line
    elif found := _MATCH.fullmatch(script):
        pattern = Pattern(found[1].replace("\\/", "/"), out)
        yield from ((number, line) for number, line in numbered if pattern.search(line))
    else:
        raise Refused(f"the script {script!r} does not only print; write 'A,Bp', 'Np', '$p' or '/PATTERN/p'")
