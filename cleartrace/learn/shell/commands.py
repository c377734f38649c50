"""The commands, each in process. Every one reads through `Files` and writes through `Output`."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cleartrace.learn.shell.files import Files
from cleartrace.learn.shell.flags import Arguments, Flags
from cleartrace.learn.shell.grep import grep
from cleartrace.learn.shell.lines import named, read_lines
from cleartrace.learn.shell.output import MAX_LINE_CHARS, Output
from cleartrace.learn.shell.query import jq
from cleartrace.learn.shell.sed import sed
from cleartrace.learn.shell.words import Refused, Word

DIFF_BYTES = 1_000_000

HELP = """\
One command a line; no pipes, no redirection, nothing is written.
ls [-l] [-R] [PATH...]                      what there is
cat [-n] FILE...                            whole files
head [-n N | -c N] FILE...                  the first N lines or bytes (10 lines)
tail [-n N | -n +N | -c N] FILE...          the last N, or from line N on
sed -n 'A,Bp' FILE...                       lines A to B; also 'Np', '$p', '/PATTERN/p'
grep [-i -n -v -c -l -o -w -F -E -r] [-m N] [-A N] [-B N] [-C N] PATTERN [PATH...]
wc [-l -w -c] FILE...                       counts of lines, words, bytes
jq [-r] PATH FILE                           .a.b, .a[0], .a[], 'PATH | keys', 'PATH | length'; each line of a .jsonl
diff FILE FILE                              what differs"""


def ls(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("ls", plain="lRa1").read(words)
    for path in named(arguments.rest, files, out) or [files.root]:
        if path.is_file():
            out.line(_entry(path, files.name(path), arguments.has("l")))
            continue
        for folder in _folders(path, files) if arguments.has("R") else [path]:
            if arguments.has("R") or len(arguments.rest) > 1:
                out.line(f"{files.name(folder)}:")
            for child in files.children(folder):
                out.line(_entry(child, child.name + ("/" if child.is_dir() else ""), arguments.has("l")))


def _folders(path: Path, files: Files) -> Iterator[Path]:
    yield path
    for child in files.children(path):
        if child.is_dir() and not child.is_symlink():
            yield from _folders(child, files)


def _entry(path: Path, name: str, long: bool) -> str:
    return f"{path.stat().st_size:>12,} {name}" if long and path.is_file() else f"{'':>12} {name}" if long else name


def cat(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("cat", plain="n").read(words)
    for path in _needed("cat", arguments, files, out):
        for number, line in enumerate(read_lines(files, path, out), 1):
            out.line(f"{number:>6}  {line}" if arguments.has("n") else line, number)


def head(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("head", valued="nc", short_number=True).read(words)
    for path in _titled("head", arguments, files, out):
        if arguments.has("c"):
            with files.open(path) as file:
                _bytes(file.read(min(arguments.number("c", 0), out.limit)), out)
        else:
            for line in islice(read_lines(files, path, out), arguments.number("n", 10)):
                out.line(line)


def tail(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("tail", valued="nc", short_number=True).read(words)
    start = arguments.flags.get("n", "")
    for path in _titled("tail", arguments, files, out):
        if arguments.has("c"):
            with files.open(path) as file:
                size = min(arguments.number("c", 0), out.limit)
                file.seek(max(0, path.stat().st_size - size))
                _bytes(file.read(size), out)
        elif start.startswith("+"):
            first = Arguments({"n": start[1:]}, ()).number("n", 1, least=1)
            for number, line in enumerate(islice(read_lines(files, path, out), first - 1, None), first):
                out.line(line, number)
        else:
            count = min(arguments.number("n", 10), out.limit)
            # Long lines are cut when written: cutting them here keeps what is held small.
            cut = (line[: MAX_LINE_CHARS + 1] for line in read_lines(files, path, out))
            for line in deque(cut, maxlen=count):
                out.line(line)


def wc(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = Flags("wc", plain="lwc").read(words)
    wanted = [letter for letter in "lwc" if arguments.has(letter)] or list("lwc")
    for path in _needed("wc", arguments, files, out):
        lines = total = 0
        for line in read_lines(files, path, out):
            lines, total = lines + 1, total + len(line.split())
        counts = {"l": lines, "w": total, "c": path.stat().st_size}
        out.line(" ".join(f"{counts[letter]:>8}" for letter in wanted) + f" {files.name(path)}")


def diff(words: Sequence[Word], files: Files, out: Output) -> None:
    paths = _needed("diff", Flags("diff", plain="u").read(words), files, out)
    if len(paths) != 2:
        raise Refused(f"diff takes two files, not {len(paths)}")
    for path in paths:
        if path.stat().st_size > DIFF_BYTES:
            raise Refused(f"{files.name(path)} has {path.stat().st_size:,} bytes; diff reads at most {DIFF_BYTES:,}")
    one, other = (_Timed(read_lines(files, path, out), out) for path in paths)
    for line in difflib.unified_diff(one, other, files.name(paths[0]), files.name(paths[1]), lineterm=""):
        out.line(line)


class _Timed(list[str]):
    """Lines whose reader is stopped when its time is over: difflib looks lines up one by one, far more often than n."""

    def __init__(self, lines: Iterable[str], out: Output) -> None:
        super().__init__(lines)
        self._out = out

    def __getitem__(self, place: Any) -> Any:
        self._out.tick()
        return super().__getitem__(place)


def _needed(command: str, arguments: Arguments, files: Files, out: Output) -> list[Path]:
    if not arguments.rest:
        raise Refused(f"{command} needs a file; there is nothing to read from but files")
    return named(arguments.rest, files, out)


def _titled(command: str, arguments: Arguments, files: Files, out: Output) -> Iterator[Path]:
    paths = _needed(command, arguments, files, out)
    for path in paths:
        if len(paths) > 1:
            out.line(f"==> {files.name(path)} <==")
        yield path


def _bytes(data: bytes, out: Output) -> None:
    for line in data.decode("utf-8", "replace").splitlines():
        out.line(line)


Command = Callable[[Sequence[Word], Files, Output], None]
COMMANDS: dict[str, Command] = {
    "ls": ls, "cat": cat, "head": head, "tail": tail, "sed": sed, "grep": grep, "rg": grep, "wc": wc, "jq": jq,
    "diff": diff,
}  # fmt: skip
