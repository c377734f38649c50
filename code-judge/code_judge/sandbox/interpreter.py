"""Facts about the interpreter that runs use, asked of itself once."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import code_judge
from code_judge.sandbox.private_root import SYSTEM_TREES

_QUESTION = """
import json, sys, sysconfig
names = ("stdlib", "platstdlib", "purelib", "platlib")
trees = {sys.prefix, sys.base_prefix, sys.exec_prefix, *(sysconfig.get_path(name) for name in names)}
print(json.dumps({"executable": sys.executable, "version": list(sys.version_info[:3]), "trees": sorted(trees)}))
"""


@dataclass(frozen=True)
class Interpreter:
    """`executable` is the one named, not what a link leads to: a virtual environment hangs on its name."""

    executable: str
    version: tuple[int, int, int]
    trees: tuple[Path, ...]

    @property
    def hidden(self) -> list[Path]:
        """Parts of the trees that no run may see: this package."""
        package = Path(code_judge.__file__).resolve().parent
        trees = [tree.resolve() for tree in (*self.trees, *SYSTEM_TREES)]
        return [package] if any(package.is_relative_to(tree) for tree in trees) else []

    @classmethod
    def ask(cls, python: str) -> Interpreter:
        """Raises OSError or subprocess.SubprocessError when it cannot be run, ValueError for one before 3.8."""
        command = [python, "-c", _QUESTION]
        done = subprocess.run(command, env={}, capture_output=True, check=True, timeout=60, text=True)
        facts = json.loads(done.stdout)
        version = tuple(facts["version"])
        if version < (3, 8):
            raise ValueError(f"{python} is Python {'.'.join(map(str, version))}; runs need 3.8 or later")
        return cls(facts["executable"], version, tuple(Path(tree) for tree in facts["trees"]))
