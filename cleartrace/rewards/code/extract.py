"""Find the program in an answer: the last Python fence. One pass over the lines, whatever is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cleartrace.rewards.answer import final_part

_PYTHON = frozenset({"python", "python3", "python2", "py", "py3", "ipython", "ipython3"})
_RUN = re.compile(r"(?<!`)`{3,}|(?<!~)~{3,}")


@dataclass(frozen=True)
class _Fence:
    """The run of marks that opened a block, the first word behind it in lower case, and the blanks before it."""

    marks: str
    language: str
    indent: str

    @property
    def is_python(self) -> bool:
        return self.language in _PYTHON


@dataclass(frozen=True)
class _Block:
    fence: _Fence
    text: str


def last_program(text: str) -> str | None:
    """The program in what follows the last `</think>` (D46), or None.

    The last block whose fence says Python (```` ```python ````, ```` ```Py ````, `~~~python3`, blanks behind it, text
    before it) is taken; only where there is none, the last block without a language. A block that is still open at the
    end is taken too: its tests show whether it is whole. No earlier block is taken in its place.

    Example:
        >>> last_program("First:\\n~~~Python \\nprint(1)\\n~~~\\nBetter:\\n```py\\nprint(2)\\n```\\n")
        'print(2)\\n'
    """
    blocks = _blocks(final_part(text))
    chosen = [block for block in blocks if block.fence.is_python] or [b for b in blocks if not b.fence.language]
    return chosen[-1].text if chosen and chosen[-1].text.strip() else None


def _blocks(text: str) -> list[_Block]:
    found: list[_Block] = []
    fence: _Fence | None = None
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        opened = _opening(line)
        if fence is None:
            fence, lines = opened, []
            continue
        head = _closing(line, fence)
        # A Python fence inside a block that was never closed begins the next block.
        if head is None and not (opened is not None and opened.is_python and _begins(line, opened)):
            lines.append(_outdented(line, fence))
            continue
        if head:
            lines.append(_outdented(f"{head}\n", fence))
        found.append(_Block(fence, "".join(lines)))
        fence, lines = (None if head is not None else opened), []
    if fence is not None:
        found.append(_Block(fence, "".join(lines)))
    return found


def _opening(line: str) -> _Fence | None:
    """The fence that ends this line, if any. Text may stand before a Python fence only: else it is quoted text."""
    run = _RUN.search(line)
    if run is None:
        return None
    info = line[run.end() :].strip()
    if "`" in info:
        return None
    words = info.split(maxsplit=1)
    before = line[: run.start()]
    fence = _Fence(run.group(), words[0].lower() if words else "", before if before.isspace() else "")
    return fence if fence.is_python or _begins(line, fence) else None


def _begins(line: str, fence: _Fence) -> bool:
    return line.lstrip().startswith(fence.marks)


def _outdented(line: str, fence: _Fence) -> str:
    """A block within a list is as far to the right as its fence."""
    return line.removeprefix(fence.indent)


def _closing(line: str, fence: _Fence) -> str | None:
    """What stands before the closing fence on its line, usually ""; None when the line does not close the block."""
    body = line.rstrip()
    head = body.rstrip(fence.marks[0])
    if len(body) - len(head) < len(fence.marks):
        return None
    return head if head.strip() else ""
