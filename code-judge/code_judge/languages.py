"""Languages beside Python: how a source becomes an executable. The user's text is written as it is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass

from code_judge.commands import COMPILE, Command

LANGUAGES = ("python", "cpp")


@dataclass(frozen=True)
class Compiler:
    """`executable` is absolute; `version` and `command` are part of the key of what it makes."""

    executable: str
    version: str
    command: Command = COMPILE

    @classmethod
    def find(cls, name: str, command: Command = COMPILE) -> Compiler | None:
        """`name`, or what `command` begins with if it has no place for it. None where that does not answer."""
        named = any("{CPP_COMPILER_PATH}" in word for word in command.words)
        path = shutil.which(name if named else command.words[0])
        if path is None:
            return None
        try:
            done = subprocess.run([path, "--version"], capture_output=True, check=True, timeout=30, text=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return cls(path, done.stdout.splitlines()[0] if done.stdout else "", command)

    def argv(self, source: str, target: str, work: str) -> tuple[str, ...]:
        places = {"CPP_COMPILER_PATH": self.executable, "source": source, "exe": target, "workdir": work}
        return self.command.fill(places)

    def key(self, source: bytes) -> str:
        """Equal only for what compiles to the same."""
        text = "\0".join([self.executable, self.version, *self.command.words]).encode() + b"\0" + source
        return hashlib.sha256(text).hexdigest()
