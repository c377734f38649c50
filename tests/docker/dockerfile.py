"""As much of a Dockerfile as the tests look at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction with its continued lines joined."""

    name: str
    value: str
    stage: int
    """Number of FROM instructions up to here, this one included; 0 before the first."""


@dataclass(frozen=True)
class Dockerfile:
    instructions: tuple[Instruction, ...]

    def all(self, name: str, stage: int | None = None) -> list[str]:
        """Values of every instruction of that name, in order; of one stage if it is given."""
        return [i.value for i in self.instructions if i.name == name and stage in (None, i.stage)]

    @property
    def last_stage(self) -> int:
        return self.instructions[-1].stage

    @property
    def arguments(self) -> dict[str, str]:
        """Build arguments with their defaults."""
        return {name: default for name, _, default in (value.partition("=") for value in self.all("ARG"))}


def parse(text: str) -> Dockerfile:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found, stage = [], 0
    for line in filter(str.strip, joined.splitlines()):
        name, _, value = line.strip().partition(" ")
        stage += name == "FROM"
        found.append(Instruction(name, value.strip(), stage))
    return Dockerfile(tuple(found))


def copied_from_context(file: Dockerfile) -> list[str]:
    """Sources of every COPY that does not name another stage, build arguments filled in with their defaults."""
    sources = []
    for value in file.all("COPY"):
        words = value.split()
        if not any(word.startswith("--from=") for word in words):
            sources += [word for word in words if not word.startswith("--")][:-1]
    for name, default in file.arguments.items():
        sources = [source.replace(f"${{{name}}}", default) for source in sources]
    return sources


def passes(ignore: str, path: str) -> bool:
    """Whether a file of the context gets past these rules of a .dockerignore; the last rule that fits decides.

    A rule fits a path or a folder above it. `**/` matches any number of folders.
    """
    places = [str(Path(path)), *map(str, Path(path).parents)]
    kept = True
    for rule in filter(None, map(str.strip, ignore.splitlines())):
        pattern = rule.removeprefix("!")
        if any(fnmatch(place, pattern) or fnmatch(f"./{place}", pattern) for place in places):
            kept = rule.startswith("!")
    return kept
