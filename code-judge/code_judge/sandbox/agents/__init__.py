"""Code of this service that runs inside a run, beside the user's: sessions, function calls, checks.

The files are sent as text and executed in the confined process, so they import only the standard library and each
other. What they hold is not secret from the program, and what they say is believed only as far as the program could say
it itself.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_LOADER = """
import sys
def _load(parts):
    for name, code in parts:
        module = type(sys)(name)
        sys.modules[name] = module
        exec(code, module.__dict__)
    for name, _ in parts:
        del sys.modules[name]  # the program's imports never meet them
    module.main()
_load(parts)
"""


@cache
def agent_text(*names: str) -> bytes:
    """These modules, later ones importing earlier ones, as a warm interpreter takes them to call the last one's `main`.

    A literal: the text of a loader, and the modules' names and texts. The interpreter compiles them once.
    """
    parts = [(f"{__name__}.{name}", Path(__file__).with_name(f"{name}.py").read_text()) for name in names]
    return repr((_LOADER, parts)).encode()
