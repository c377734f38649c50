"""Attacks are contained at every level of this machine, and each kind of check can fail. T5, J30-J36."""

from __future__ import annotations

import asyncio
import csv
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import code_judge.executor
import code_judge.sandbox.host
from code_judge.attack.arena import Loosen, arena
from code_judge.attack.campaign import campaign, reach
from code_judge.attack.catalogue import ATTACKS, select
from code_judge.attack.model import Attack, Column, Row, Verdict
from code_judge.cli import app
from code_judge.jobs import RunLimits
from code_judge.sandbox import proctree
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host, Means, clean_environment, remove_tree
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.levels import Level
from code_judge.sandbox.probe import TooWeak, describe
from code_judge.sandbox.slot import SlotLimits
from code_judge.sandbox.syscalls import become_subreaper
from code_judge.verdicts import slot_limits

SLOW = {"C9"}  # the compiler works for up to 20 s
QUICK = [attack for attack in ATTACKS if attack.id not in SLOW]
SYSTEM_PYTHON = "/usr/bin/python3"
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="another user is needed")


@contextmanager
def base_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="judge-attack-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        remove_tree(path)


def attack_level(level: Level, attacks: list[Attack]) -> Column:
    become_subreaper()
    column = asyncio.run(campaign(level, attacks, lambda *_: None))
    if column.unavailable:
        pytest.skip(column.unavailable)
    return column


def escapes(column: Column) -> dict[str, str]:
    return {row.attack.id: row.why for row in column.rows if row.verdict is Verdict.ESCAPED}


def run_in(
    make_host: Callable[[Path], Host], means: Means, attacks: list[Attack], loosen: Loosen = lambda limits: limits
) -> list[Row]:
    """The rows of attacks on slots that are confined less than they claim."""

    async def go(path: Path) -> list[Row]:
        async with arena(make_host(path), means, describe(means), loosen) as ground:
            return [await ground.attempt(replace(attack, since=Level.L0)) for attack in attacks]

    become_subreaper()
    with base_dir() as path:
        return asyncio.run(go(path))


def plain_host(path: Path) -> Host:
    return Host(Interpreter.ask(SYSTEM_PYTHON), path, CgroupHome.find())


def held(rows: list[Row]) -> list[str]:
    return [row.attack.id for row in rows if row.verdict is not Verdict.ESCAPED]


@pytest.mark.parametrize("level", [Level.L1, Level.L2, Level.L3], ids=lambda level: level.name)
def test_all_are_contained(level: Level) -> None:
    column = attack_level(level, QUICK)
    assert escapes(column) == {}
    left_out = [row.attack.id for row in column.rows if row.verdict is Verdict.NOT_APPLICABLE]
    allowed = {"C4"} if level is Level.L1 else set()
    assert set(left_out) - {"C7", "A31", "D5"} <= allowed  # the last three: another architecture, no compiler


@pytest.mark.slow
@pytest.mark.parametrize("level", [Level.L1, Level.L2, Level.L3], ids=lambda level: level.name)
def test_slow_ones_are_contained(level: Level) -> None:
    assert escapes(attack_level(level, [attack for attack in ATTACKS if attack.id in SLOW])) == {}


@pytest.mark.slow
def test_all_are_contained_by_a_user_namespace() -> None:
    """As root too, which then needs the way that other users have."""
    rows = run_in(plain_host, Means(Level.L2, own_uid=AS_ROOT, user_namespace=True), QUICK)
    assert [f"{row.attack.id}: {row.why}" for row in rows if row.verdict is Verdict.ESCAPED] == []


def test_every_class_of_the_specification_is_there() -> None:
    of_suites = {28, 29, 30}  # rewards without passing a test: test_suites.py
    wanted = [f"A{n}" for n in range(1, 32) if n not in of_suites]
    wanted += [f"B{n}" for n in range(1, 28)] + [f"C{n}" for n in range(1, 11)]
    ids = [attack.id for attack in ATTACKS]
    assert ids[: len(wanted)] == wanted and len(set(ids)) == len(ids)


@needs_root
def test_what_level_0_does_not_hold_is_seen() -> None:
    """A user of its own, and rlimits, but nothing else."""
    open_there = "A16,A18,A19,A22,A23,B1,B6,B7,B8,B9,B14,B16,B17,C1,C2,C3,C4,A31,D5,D8,D9"
    rows = run_in(plain_host, Means(Level.L0, own_uid=True), list(select(open_there)))
    assert held(rows) == []


@needs_root
def test_what_the_same_user_could_do_is_seen() -> None:
    """No confinement and no user of its own; only attacks whose targets this test made."""
    open_there = "A13,A14,A15,A17,A20,A21,A25,B3,B5,B10,B12,B13,C8,D7"
    rows = run_in(plain_host, Means(Level.L0, own_uid=False), list(select(open_there)))
    assert held(rows) == []


@dataclass
class OneUid(Host):
    """Gives all slots the same user."""

    def _uid(self) -> int:
        return 0x50000000


@needs_root
def test_slots_that_share_a_user_are_seen() -> None:
    def host(path: Path) -> Host:
        return OneUid(Interpreter.ask(SYSTEM_PYTHON), path, None)

    rows = run_in(host, Means(Level.L0, own_uid=True), list(select("A15,A25,B11")))
    assert held(rows) == []


def _none(limits: RunLimits) -> RunLimits:
    return replace(limits, cpu_s=30, wall_s=30, memory_mb=3000, output_bytes=80 << 20, processes=4000)


def _no_slot_limits(limits: RunLimits) -> SlotLimits:
    return replace(slot_limits(limits), disk=1 << 30, inodes=1 << 20)


@needs_root
@pytest.mark.parametrize(
    "ids", ["A6,A9,A10,A26,B19", pytest.param("A1,D2,A2,A8,B22,B23,B25,C6,D1,D3,D6", marks=pytest.mark.slow)]
)
def test_limits_that_do_not_hold_are_seen(monkeypatch: pytest.MonkeyPatch, ids: str) -> None:
    monkeypatch.setattr(code_judge.executor, "slot_limits", _no_slot_limits)
    attacks = select(ids)
    attacks = [replace(one, steps=(one.steps[0].replace("sleep(5)", "sleep(2)"),)) for one in attacks]
    assert held(run_in(plain_host, Means(Level.L1, own_uid=True), attacks, _none)) == []


@needs_root
def test_orphans_that_nobody_ends_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proctree, "kill_below", lambda pid: None)
    attacks = [replace(one, steps=(one.steps[0].replace("sleep(8)", "sleep(3)"),)) for one in select("A12")]
    assert held(run_in(plain_host, Means(Level.L0, own_uid=False), attacks)) == []


def _leaky(work: Path, temporary: Path) -> dict[str, str]:
    secret = os.environ.get("CODE_JUDGE_ATTACK_SECRET", "")  # as an unclean start would hand it down
    return {**clean_environment(work, temporary), "REDIS_URI": f"redis://:{secret}@127.0.0.1/0"}


def test_an_unclean_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_judge.sandbox.host, "clean_environment", _leaky)
    found = escapes(attack_level(Level.L2, list(select("A17,B2,B27"))))
    assert set(found) == {"A17", "B2", "B27"}
    assert all("it knew the secret in: environ" in why for why in found.values())


def _offered() -> Level:
    become_subreaper()
    with base_dir() as path:
        for level in (Level.L2, Level.L1):
            try:
                asyncio.run(reach(level, path))
            except TooWeak:
                continue
            return level
    pytest.skip("no level holds here")


def test_the_command_tells_and_exits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    level = _offered().name
    command = ["attack", "--level", level, "--only", "A16,b2", "--csv", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"2 {Verdict.CONTAINED.value}, 0 ESCAPED" in done.output
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [(row["class"], row["level"], row["verdict"]) for row in rows] == [
        ("A16", level, "contained"),
        ("B2", level, "contained"),
    ]
    monkeypatch.setattr(code_judge.sandbox.host, "clean_environment", _leaky)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1 and "B2 at" in done.output and "A16 at" not in done.output


@pytest.mark.parametrize("options", [["--only", "Z9"], ["--level", "L9"], ["--level", "L0"]])
def test_the_command_refuses_what_it_does_not_know(options: list[str]) -> None:
    assert CliRunner().invoke(app, ["attack", *options]).exit_code == 2
