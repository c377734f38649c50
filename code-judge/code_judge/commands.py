"""The command templates of the published service: how programs are compiled and started, when not in the usual way."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter


@dataclass(frozen=True)
class Command:
    """Words of a command line, each with places to fill. No shell reads them; a path in a place stays one word."""

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, places: tuple[str, ...]) -> Command:
        """Raises ValueError for what cannot be read, and for a place that is none of `places`."""
        words = tuple(shlex.split(text))
        if not words:
            raise ValueError("it is empty")
        for word in words:
            for _, name, form, conversion in Formatter().parse(word):
                if name is not None and (name not in places or form or conversion):
                    known = ", ".join(f"{{{place}}}" for place in places)
                    raise ValueError(f"unknown placeholder in {word!r}: it may hold {known}")
        return cls(words)

    def fill(self, places: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(word.format_map(places) for word in self.words)


_PLACES = {
    "PYTHON_EXECUTE_COMMAND": ("PYTHON_EXECUTOR_PATH", "source", "workdir"),
    "CPP_COMPILE_COMMAND": ("CPP_COMPILER_PATH", "source", "exe", "workdir"),
    "CPP_EXECUTE_COMMAND": ("exe", "workdir"),
}
PYTHON = Command(("{PYTHON_EXECUTOR_PATH}", "{source}"))
COMPILE = Command(("{CPP_COMPILER_PATH}", "-O2", "-o", "{exe}", "{source}"))
EXECUTE = Command(("{exe}",))


@dataclass(frozen=True)
class Commands:
    """The three of a worker. `python` stands for a warm interpreter unless it differs from the default."""

    python: Command = PYTHON
    cpp_compile: Command = COMPILE
    cpp_execute: Command = EXECUTE

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Commands:
        """Raises ValueError naming the variable that cannot be read."""

        def read(name: str, default: Command) -> Command:
            try:
                return Command.parse(env[name], _PLACES[name]) if env.get(name) else default
            except ValueError as error:
                raise ValueError(f"environment variable {name}: {error}") from None

        return cls(
            python=read("PYTHON_EXECUTE_COMMAND", PYTHON),
            cpp_compile=read("CPP_COMPILE_COMMAND", COMPILE),
            cpp_execute=read("CPP_EXECUTE_COMMAND", EXECUTE),
        )

    @property
    def cold(self) -> tuple[str, ...]:
        """Languages whose programs are not compiled and started in the usual way."""
        python = ("python",) if self.python != PYTHON else ()
        return (*python, "cpp") if (self.cpp_compile, self.cpp_execute) != (COMPILE, EXECUTE) else python
