"""Languages beside Python: how a source becomes an executable. The user's text is written as it is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass

LANGUAGES = ("python", "cpp")
CXX_FLAGS = ("-O2",)


@dataclass(frozen=True)
class Compiler:
    """`executable` is absolute; `version` is part of the key of what it makes."""

    executable: str
    version: str

    @classmethod
    def find(cls, name: str) -> Compiler | None:
        """None where it is not installed or does not answer."""
        path = shutil.which(name)
        if path is None:
            return None
        try:
            done = subprocess.run([path, "--version"], capture_output=True, check=True, timeout=30, text=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return cls(path, done.stdout.splitlines()[0] if done.stdout else "")

    def argv(self, source: str, target: str) -> tuple[str, ...]:
        return (self.executable, *CXX_FLAGS, "-o", target, source)

    def key(self, source: bytes) -> str:
        """Equal only for what compiles to the same."""
        text = "\0".join([self.executable, self.version, *CXX_FLAGS]).encode() + b"\0" + source
        return hashlib.sha256(text).hexdigest()
