"""Which function a change is in, and what the change is apart from layout."""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
from collections.abc import Sequence

from cleartrace.pairs.mine.trajectories.patch import FilePatch, Hunk

_DEF = re.compile(r"^(?P<indent>\s*)(?:async\s+def|def|class)\s+(?P<name>\w+)")
_NUMBER = re.compile(r"^\s*\d+[:\t\-|]")
_COMMENT = re.compile(r"\s*#.*$")


def scope_in_tree(tree: ast.AST, line: int) -> str:
    """Qualified name of the innermost function or class that holds the line; empty at module level."""
    names: list[str] = []
    node: ast.AST | None = tree
    while node is not None:
        inner = None
        for child in ast.iter_child_nodes(node):
            first = min([getattr(child, "lineno", 0), *(d.lineno for d in getattr(child, "decorator_list", []))])
            if first <= line <= (getattr(child, "end_lineno", 0) or 0):
                inner = child
                break
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(inner.name)
        node = inner
    return ".".join(names)


def scope_above(lines: Sequence[str], at: int) -> str:
    """The same by indentation, for a piece of a file: the definitions above line `at` (from 0) that enclose it."""
    names: list[str] = []
    limit = len(lines[at]) - len(lines[at].lstrip()) if at < len(lines) else 0
    for line in reversed(lines[: at + 1]):
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        found = _DEF.match(line)
        if found and (indent < limit or (line is lines[at] and not names)):
            names.append(found["name"])
            limit = indent
        elif indent < limit and not line.lstrip().startswith((")", "]", "}", "#")):
            limit = indent
    return ".".join(reversed(names))


def _find_block(text: list[str], block: Sequence[str]) -> int:
    wanted = [line.rstrip() for line in block]
    head = next((i for i, line in enumerate(wanted) if line.strip()), None)
    if head is None:
        return -1
    for i, line in enumerate(text):
        if line == wanted[head] and text[i - head : i - head + len(wanted)] == wanted and i >= head:
            return i - head
    return -1


def _scope_from_section(section: str) -> str:
    found = _DEF.match(section)
    return found["name"] if found else ""


def _lines_in_source(hunk: Hunk, source: list[str]) -> list[int]:
    """Lines of `source` (from 1) where the changes of a hunk are; empty where the hunk fits it on neither side.

    A checkout of a SWE-smith repository has no bug in it, so it is what the file looks like AFTER the fix.
    """
    for start, signs in ((hunk.old_start, " -"), (hunk.new_start, " +")):
        side = list(hunk.side(signs))
        if source[start - 1 : start - 1 + len(side)] == side:
            return [start + min(at, max(len(side) - 1, 0)) for at in hunk.changed_at]
    return []


def _hunk_scopes(hunk: Hunk, tree: ast.AST | None, source: list[str], shown: list[str]) -> set[str]:
    if tree is not None and (lines := _lines_in_source(hunk, source)):
        return {scope_in_tree(tree, line) for line in lines}
    before = list(hunk.side(" -"))
    start = _find_block(shown, before)
    scopes: set[str] = set()
    for at in hunk.changed_at:
        seen = scope_above(shown, start + at) if start >= 0 else ""
        inside = scope_above(before, at) if at < len(before) else ""
        scopes.add(seen or inside or _scope_from_section(hunk.section))
    return scopes


def scope_of(patch: FilePatch, source: str | None = None, shown: str = "") -> str:
    """The one function or class that all hunks are in, or an empty string.

    Args:
        source: the file on either side of the change, where it is at hand; then its syntax tree decides.
        shown: what the run printed; a view of the hunk's surroundings is read by its indentation. The header of the
            hunk is the last resort, and in git's default setting it names the enclosing class of a method.
    """
    tree = None
    if source is not None:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            tree = None
    whole = (source or "").split("\n")
    lines = [_NUMBER.sub("", line).rstrip() for line in shown.split("\n")]
    scopes = {scope for hunk in patch.hunks for scope in _hunk_scopes(hunk, tree, whole, lines)}
    return scopes.pop() if len(scopes) == 1 else ""


def _normal_code(lines: Sequence[str]) -> str:
    """Code without comments and layout: by its syntax tree where it parses alone, else line by line."""
    text = textwrap.dedent("\n".join(lines))
    for attempt in (text, f"{text.rstrip()}\n    pass"):
        try:
            return ast.unparse(ast.parse(attempt))
        except (SyntaxError, ValueError):
            continue
    return "\n".join("".join(_COMMENT.sub("", line).split()) for line in lines if line.strip())


def change_key(patch: FilePatch) -> str:
    """Equal for two changes that differ in comments and layout only. 16 hex digits."""
    parts = [patch.path]
    for hunk in patch.hunks:
        parts += [_normal_code(hunk.side("-")), _normal_code(hunk.side("+"))]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
