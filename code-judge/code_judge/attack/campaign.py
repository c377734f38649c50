"""Attacks at one level after another."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from code_judge.attack.arena import arena
from code_judge.attack.model import Attack, Column, Row, Verdict
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host, Means, remove_tree
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.levels import Isolation, Level
from code_judge.sandbox.probe import TooWeak, choose

_PYTHONS = (sys.executable, "/usr/bin/python3")
"""A slot's user must be able to read the interpreter: at L1 one in a private directory is out of reach."""


async def reach(level: Level, base_dir: Path) -> tuple[Host, Means, Isolation]:
    """A host, and how this level is reached on it. Raises TooWeak when it does not hold here."""
    said = []
    for python in dict.fromkeys(_PYTHONS):
        if not Path(python).exists():
            continue
        host = Host(Interpreter.ask(python), base_dir, CgroupHome.find())
        try:
            return host, *await choose(host, level, level)
        except TooWeak as error:
            said.append(f"{python}: {error}")
    raise TooWeak("; ".join(said))


async def campaign(level: Level, attacks: Sequence[Attack], tell: Callable[[Level, Row], None]) -> Column:
    """All `attacks` at one level; none is applicable where the level does not hold. Raises SlotLost or OSError."""
    base_dir = Path(tempfile.mkdtemp(prefix="judge-attack-"))
    base_dir.chmod(0o711)
    try:
        try:
            host, means, isolation = await reach(level, base_dir)
        except TooWeak as error:
            why = f"the level does not hold here: {error}"
            return Column(level, "not available", tuple(Row(one, Verdict.NOT_APPLICABLE, why) for one in attacks), why)
        rows = []
        async with arena(host, means, isolation) as ground:
            for attack in attacks:
                row = await ground.attempt(attack)
                tell(level, row)
                rows.append(row)
        return Column(level, isolation.label, tuple(rows))
    finally:
        remove_tree(base_dir)
