"""Assert tests as cases of a suite: split by statements, never by lines (D45). For test code, which is trusted."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.rewards.code.syntax import NotPython, expression, statements

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_WHOLE = (ast.Return, ast.Yield, ast.YieldFrom, ast.Await, ast.Nonlocal, ast.Global)


@dataclass(frozen=True)
class Harness:
    """`setup` runs once in the tests' process and touches nothing of the program; each of `cases` is test code."""

    setup: str
    cases: tuple[str, ...]


@dataclass(frozen=True)
class _Check:
    """`def check(candidate)`, as HumanEval and LeetCode write their tests."""

    function: ast.FunctionDef
    parameter: str


def split_tests(test_code: str, entry_point: str = "", prefix: str = "") -> Harness:
    """Cases of `test_code`: one for each statement that can fail, with the preparations before it.

    The statements are those at top level, then those of `check(candidate)` where it is defined. Each case knows
    `entry_point` (`f`, `Class`, `Solution().f`, or the bare name of a method of `Solution`) as `candidate`.
    `prefix` is code that stands before the program; its functions and imports are also made for the tests, so that
    a program which redefines a comparison of the prefix does not change what the tests do.

    Errors: `ValueError` for test code or a prefix that is not Python, an entry point that is not an expression, and
    test code without tests.
    """
    body = _parsed(test_code, "test_code")
    check = next((c for c in map(_check_of, body) if c is not None), None)
    own = [node for node in body if check is None or not _calls_check(node)]
    whole = check is not None and _is_one_piece(check)
    setup = [node for node in own if isinstance(node, _DEFINITIONS) and (check is None or node is not check.function)]
    steps = [node for node in own if not isinstance(node, _DEFINITIONS)]
    binding = _binding(entry_point, check.parameter if check else "candidate")
    codes = [f"{binding}{code}" for code in _grouped(steps)]
    if check is not None and whole:
        setup.append(check.function)
        codes.append(f"{binding}{check.function.name}({check.parameter})")
    elif check is not None:
        codes += [f"{binding}{code}" for code in _grouped(check.function.body)]
    if not codes:
        raise ValueError("test_code has no test: no assert, no call")
    return Harness(_setup(prefix, setup), tuple(codes))


def _parsed(code: str, name: str) -> list[ast.stmt]:
    try:
        return statements(code)
    except NotPython as error:
        raise ValueError(f"{name} is not Python ({error})") from None


def _check_of(node: ast.stmt) -> _Check | None:
    if not isinstance(node, ast.FunctionDef) or node.name != "check":
        return None
    arguments = [*node.args.posonlyargs, *node.args.args]
    return _Check(node, arguments[0].arg) if len(arguments) == 1 and not node.args.kwonlyargs else None


def _calls_check(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _is_one_piece(check: _Check) -> bool:
    """Whether the body means something else when its statements stand at top level."""
    for node in _same_scope(check.function.body):
        if isinstance(node, _WHOLE):
            return True
        if isinstance(node, ast.Name) and node.id == check.parameter and not isinstance(node.ctx, ast.Load):
            return True
    return False


def _same_scope(nodes: Sequence[ast.AST]) -> list[ast.AST]:
    """All nodes below `nodes`, without the insides of functions and classes."""
    found: list[ast.AST] = []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, _OWN_SCOPE):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def _can_fail(node: ast.stmt) -> bool:
    """Whether a statement tests: it asserts or raises somewhere, or is a call for its own sake."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, (ast.Call, ast.Await))
    return any(isinstance(inner, (ast.Assert, ast.Raise)) for inner in _same_scope([node]))


def _grouped(nodes: Sequence[ast.stmt]) -> list[str]:
    """Each testing statement with the other statements between it and the one before; trailing ones join the last."""
    groups: list[list[ast.stmt]] = [[]]
    for node in nodes:
        groups[-1].append(node)
        if _can_fail(node):
            groups.append([])
    trailing = groups.pop()
    if not groups:
        return []
    groups[-1].extend(trailing)
    return ["\n".join(map(ast.unparse, group)) for group in groups]


def _binding(entry_point: str, parameter: str) -> str:
    """Statements that make `parameter` the function under test. A bare name may be a method of `Solution`."""
    if not entry_point:
        return ""
    try:
        tree = expression(entry_point)
    except NotPython as error:
        raise ValueError(f"entry_point {entry_point!r} is not an expression ({error})") from None
    found = ast.unparse(tree)
    if not isinstance(tree, ast.Name):
        return f"{parameter} = {found}\n"
    if found == parameter:
        return ""
    return (
        f"try:\n    {parameter} = {found}\n"
        f"except NameError:\n    {parameter} = {found} = getattr(Solution(), {found!r})\n"
    )


def _setup(prefix: str, nodes: Sequence[ast.stmt]) -> str:
    """Definitions only. Annotations are not evaluated: they may name classes of the program, which has to stay out."""
    helpers = [node for node in _parsed(prefix, "import_prefix") if isinstance(node, _DEFINITIONS)]
    shared = [node for node in helpers if not isinstance(node, ast.ClassDef)]
    kept = [node for node in (*shared, *nodes) if not _is_future(node)]
    return "\n".join(["from __future__ import annotations", *map(ast.unparse, kept)])


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
