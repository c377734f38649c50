"""grep: RE2's patterns, which match in linear time and little memory, so that no pattern can hang the shell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.learn.shell.files import Files
from cleartrace.learn.shell.flags import Arguments, Flags
from cleartrace.learn.shell.lines import named, read_lines
from cleartrace.learn.shell.output import Output
from cleartrace.learn.shell.words import Refused, Word

CONTEXT_LINES = 200
FLAGS = Flags("grep", plain="invclowFErHsh", valued="meABC")


PATTERN_BYTES = 1 << 16
"""Of memory for one pattern, and so a bound on what one line takes: about a second. RE2 does not look at the clock."""


class Pattern:
    """A compiled pattern. Its searches end with the call's time: a line is bounded, and so is what RE2 spends on it."""

    def __init__(self, text: str, out: Output, *, ignore_case: bool = False, fixed: bool = False, whole: bool = False):
        try:
            import re2
        except ImportError:
            raise Refused("patterns need the package google-re2: pip install 'cleartrace[clear]'") from None
        options = re2.Options()
        options.case_sensitive, options.log_errors, options.max_mem = not ignore_case, False, PATTERN_BYTES
        try:
            source = re2.escape(text) if fixed else text
            self._compiled = re2.compile(rf"\b(?:{source})\b" if whole else source, options=options)
        except re2.error as error:
            raise Refused(f"the pattern {text!r} is wrong: {error.args[0].decode('utf-8', 'replace')}") from None
        self._out = out

    def search(self, line: str) -> Any:
        """The first match or None. Raises TooLong."""
        self._out.tick()
        return self._compiled.search(line)

    def all(self, line: str) -> Iterator[str]:
        """Raises TooLong."""
        for match in self._compiled.finditer(line):
            self._out.tick()
            if found := str(match[0]):
                yield found


@dataclass(frozen=True)
class _Options:
    invert: bool
    only: bool
    numbered: bool
    named: bool
    before: int
    after: int
    most: int


def grep(words: Sequence[Word], files: Files, out: Output) -> None:
    arguments = FLAGS.read(words)
    pattern, rest = _pattern(arguments, out)
    paths = named(rest, files, out) or [files.root]
    if any(path.is_dir() for path in paths) and not (arguments.has("r") or not rest):
        raise Refused("grep reads folders only with -r")
    found: list[Path] = []
    for path in paths:
        out.tick()
        found += files.below(path)
    options = _options(arguments, named=len(found) > 1 or any(path.is_dir() for path in paths))
    hits = 0
    for path in found:
        hits += _file(path, pattern, options, arguments, files, out)
    if not hits and not arguments.has("c"):
        out.line("(no match)")


def _pattern(arguments: Arguments, out: Output) -> tuple[Pattern, Sequence[Word]]:
    rest = arguments.rest
    text = arguments.flags.get("e")
    if text is None:
        if not rest:
            raise Refused("grep needs a pattern")
        text, rest = rest[0].text, rest[1:]
    flags = {"ignore_case": arguments.has("i"), "fixed": arguments.has("F"), "whole": arguments.has("w")}
    return Pattern(text, out, **flags), rest


def _options(arguments: Arguments, named: bool) -> _Options:
    around = arguments.number("C", 0, most=CONTEXT_LINES)
    return _Options(
        invert=arguments.has("v"), only=arguments.has("o"), numbered=arguments.has("n"),
        named=(named or arguments.has("H")) and not arguments.has("h"),
        before=arguments.number("B", around, most=CONTEXT_LINES),
        after=arguments.number("A", around, most=CONTEXT_LINES),
        most=arguments.number("m", 10**12, least=1),
    )  # fmt: skip


def _file(path: Path, pattern: Pattern, options: _Options, arguments: Arguments, files: Files, out: Output) -> int:
    name, hits, trailing, last = files.name(path), 0, 0, 0
    waiting: deque[tuple[int, str]] = deque(maxlen=options.before)
    quiet = arguments.has("c") or arguments.has("l")
    for number, line in enumerate(read_lines(files, path, out), 1):
        hit = (pattern.search(line) is not None) != options.invert
        if hit:
            hits += 1
            if not quiet:
                if (options.before or options.after) and last and number - len(waiting) > last + 1:
                    out.line("--")
                for earlier, text in waiting:
                    _write(text, earlier, "-", name, options, out)
                for text in pattern.all(line) if options.only and not options.invert else [line]:
                    _write(text, number, ":", name, options, out)
                last = number
            waiting.clear()
            trailing = options.after
            if arguments.has("l"):
                break
        elif trailing and not quiet:
            _write(line, number, "-", name, options, out)
            trailing, last = trailing - 1, number
        else:
            waiting.append((number, line))
        if hits >= options.most and not trailing:
            break
    if arguments.has("l"):
        if hits:
            out.line(name)
    elif arguments.has("c"):
        out.line(f"{name}:{hits}" if options.named else str(hits))
    return hits


def _write(text: str, number: int, mark: str, name: str, options: _Options, out: Output) -> None:
    head = (f"{name}{mark}" if options.named else "") + (f"{number}{mark}" if options.numbered else "")
    out.line(head + text, number)
