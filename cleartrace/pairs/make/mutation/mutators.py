"""One change to one function, made in its source text so that all other text stays as it was.

The kinds are those of SWE-smith's procedural bugs, and their names are the bug types of its instance ids.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

_BINARY = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"), ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"), ast.BitXor: ("^", "&"),
}  # fmt: skip
_COMPARE = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
_BOOL = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Edit:
    """Replace columns `start` to `end` of line `line` (from 1; columns in bytes of UTF-8, as `ast` counts them)."""

    line: int
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        lines = source.split("\n")
        raw = lines[self.line - 1].encode()
        lines[self.line - 1] = (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()
        return "\n".join(lines)


@dataclass(frozen=True)
class Mutation:
    """`bug_type` as in an instance id. `line`: of the change, from 1. `symptom`: what a reader of it would say."""

    bug_type: str
    line: int
    source: str
    symptom: str


def _between(lines: list[str], left: ast.AST, right: ast.AST, old: str, new: str) -> Edit | None:
    """Swap an operator that stands on one line between two nodes."""
    line, start, end = left.end_lineno, left.end_col_offset, right.col_offset  # pyright: ignore[reportAttributeAccessIssue]
    if line != right.lineno:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    gap = lines[line - 1].encode()[start:end].decode()
    at = gap.find(old)
    if at < 0 or gap.strip("() \t") != old:
        return None
    return Edit(line, start + at, start + at + len(old), new)


def _binary(node: ast.AST, lines: list[str]) -> Iterator[tuple[str, Edit | None, str]]:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        edit = _between(lines, node.left, node.right, *_BINARY[type(node.op)])
        yield "func_pm_op_change", edit, "one of its calculations combines two values in the wrong way"


def _compare(node: ast.AST, lines: list[str]) -> Iterator[tuple[str, Edit | None, str]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
        edit = _between(lines, node.left, node.comparators[0], *_COMPARE[type(node.ops[0])])
        yield "func_pm_op_change", edit, "a comparison decides wrongly, perhaps at its limit"


def _boolean(node: ast.AST, lines: list[str]) -> Iterator[tuple[str, Edit | None, str]]:
    if isinstance(node, ast.BoolOp):
        for left, right in pairwise(node.values):
            edit = _between(lines, left, right, *_BOOL[type(node.op)])
            yield "func_pm_op_change", edit, "two conditions are joined in the wrong way"


def _constant(node: ast.AST, lines: list[str]) -> Iterator[tuple[str, Edit | None, str]]:
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < 1000:
        edit = Edit(node.lineno, node.col_offset, node.end_col_offset or 0, str(node.value + 1))
        yield "func_pm_op_change_const", edit, "something in it is off by one"


def _negate(node: ast.AST, lines: list[str]) -> Iterator[tuple[str, Edit | None, str]]:
    if isinstance(node, ast.If | ast.While | ast.IfExp) and node.test.lineno == node.test.end_lineno:
        test = node.test
        text = lines[test.lineno - 1].encode()[test.col_offset : test.end_col_offset].decode()
        edit = Edit(test.lineno, test.col_offset, test.end_col_offset or 0, f"not ({text})")
        yield "func_pm_ctrl_invert_if", edit, "it takes the wrong branch"


def _swap(node: ast.AST, lines: list[str]) -> Iterator[tuple[str, Edit | None, str]]:
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod)):
        return
    left, right = node.left, node.right
    if left.lineno == right.end_lineno and isinstance(left, ast.Name) and isinstance(right, ast.Name):
        raw = lines[left.lineno - 1].encode()
        gap = raw[left.end_col_offset : right.col_offset].decode()
        edit = Edit(left.lineno, left.col_offset, right.end_col_offset or 0, f"{right.id}{gap}{left.id}")
        yield "func_pm_op_swap", edit, "two values have changed places in a calculation"


MUTATORS: tuple[Callable[[ast.AST, list[str]], Iterator[tuple[str, Edit | None, str]]], ...] = (
    _binary, _compare, _boolean, _constant, _negate, _swap,
)  # fmt: skip


def functions(tree: ast.Module) -> list[Function]:
    """Functions at module level, in the order of the file."""
    return [node for node in tree.body if isinstance(node, Function)]


def mutations(source: str, name: str) -> list[Mutation]:
    """All single mutations of a module-level function, in a fixed order. The signature and docstring stay as they are.

    Example:
        >>> [m.source for m in mutations("def f(a):\\n    return a + 1\\n", "f")]
        ['def f(a):\\n    return a - 1\\n', 'def f(a):\\n    return a + 2\\n']
    """
    tree = ast.parse(source)
    function = next((node for node in functions(tree) if node.name == name), None)
    if function is None:
        return []
    lines = source.split("\n")
    found: dict[str, Mutation] = {}
    for mutator in MUTATORS:
        for statement in function.body:
            for node in ast.walk(statement):
                for bug_type, edit, symptom in mutator(node, lines):
                    if edit is None or (changed := edit.apply(source)) == source:
                        continue
                    if not _parses(changed.split("\n")[function.lineno - 1 : function.end_lineno]):
                        continue
                    found.setdefault(changed, Mutation(bug_type, edit.line, changed, symptom))
    return list(found.values())


def _parses(lines: list[str]) -> bool:
    """Of a function's own lines. A swap of text inside an f-string may not."""
    try:
        ast.parse("\n".join(lines))
    except SyntaxError:
        return False
    return True
