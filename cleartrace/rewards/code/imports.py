"""Imports that a program may take for granted, as programs for online judges do.

The published reward path imports a few modules when their names occur in the submitted source; LeetCode's and
LiveCodeBench's own harnesses import more. Names are looked for in the text, because a model's program must not be
parsed in this process: nested deeply enough, it would end it.
"""

from __future__ import annotations

import re

_FROM = {
    "typing": "Any Callable DefaultDict Deque Dict Generator Iterable Iterator List Mapping NamedTuple Optional "
    "Sequence Set Tuple TypeVar Union",
    "collections": "Counter OrderedDict defaultdict deque namedtuple",
    "functools": "cache cmp_to_key lru_cache reduce",
    "heapq": "heapify heappop heappush heappushpop nlargest nsmallest",
    "bisect": "bisect_left bisect_right insort",
    "itertools": "accumulate chain combinations groupby permutations product",
    "math": "ceil comb factorial floor gcd inf isqrt lcm sqrt",
}
_MODULES = "bisect collections copy datetime functools heapq itertools json math operator random re string sys time"
_HEAVY = {"np": "import numpy as np", "numpy": "import numpy", "sp": "import sympy as sp", "sympy": "import sympy"}

_IMPORT_OF = {
    **{name: f"from {module} import {name}" for module, names in _FROM.items() for name in names.split()},
    **{name: f"import {name}" for name in _MODULES.split()},
}
_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_HEAVY_USE = re.compile(r"(?<![\w.])(np|numpy|sp|sympy)\.[A-Za-z_]")
_SYMBOLS_USE = re.compile(r"(?<![\w.])symbols\(")
_FUTURE = re.compile(r"^from __future__ import [^\n]*(?:\n|\Z)", re.MULTILINE)
_DOCSTRING = r"[rRuU]?(?:\"\"\"[\s\S]*?\"\"\"|'{3}[\s\S]*?'{3})[ \t]*\n"
_HEADER = re.compile(rf"(?:[ \t]*(?:#[^\n]*)?\n|{_DOCSTRING}|from __future__ import [^\n]*(?:\n|\Z))*")


def with_imports(program: str) -> str:
    """`program` behind the imports of the known names that occur in it; its own definitions come later and win.

    Example:
        >>> with_imports("def f(xs: List[int]): return math.prod(xs)")
        'from typing import List; import math\\ndef f(xs: List[int]): return math.prod(xs)'
    """
    used = dict.fromkeys(_WORD.findall(program))
    statements = [_IMPORT_OF[name] for name in used if name in _IMPORT_OF]
    statements += [_HEAVY[name] for name in dict.fromkeys(_HEAVY_USE.findall(program))]
    if _SYMBOLS_USE.search(program):
        statements.append("from sympy import symbols")
    return behind_future("; ".join(statements), program)


def behind_future(head: str, program: str) -> str:
    """`head` before `program`, but after its `__future__` imports, which must come first."""
    if not head.strip():
        return program
    header = _HEADER.match(program)
    ends = [found.end() for found in _FUTURE.finditer(header.group() if header else "")]
    cut = ends[-1] if ends else 0
    before = program[:cut] if program[:cut].endswith("\n") or not cut else f"{program[:cut]}\n"
    return f"{before}{head}\n{program[cut:]}"
