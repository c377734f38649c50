"""The soak: a short real one, and what it calls a failure (8.23)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from code_judge.attack.catalogue import ATTACKS
from code_judge.cli import app
from code_judge.client import RunResult
from code_judge.jobs import Outcome
from code_judge.sandbox.levels import Level
from code_judge.soak.mix import attacks_of, chunk, faults
from code_judge.soak.rows import Row, judge, read, write

ROW = Row(
    chunk=0, service=1, level="L2", runs=100, attacks=5, lost=0, wrong=0, infra=0, harm=0, seconds=1.0, hello_rate=500,
    hello_cpu_ms=2.0, floor_cpu_ms=0.6, processes=8, zombies=0, descriptors=90, private_mb=150, files=12, cgroups=0,
    shared_objects=0,
)  # fmt: skip
TARGETS = {"secret_file": "/none"}


def soak_of(count: int, **last: float) -> list[Row]:
    """The last fifth differs."""
    return [replace(ROW, chunk=n, **(last if n >= count * 4 // 5 else {})) for n in range(count)]


def test_a_soak_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    csv = tmp_path / "soak.csv"
    arguments = ["soak", "--chunk", "150", "--attacks", "0.06", "--csv", str(csv), "--runs"]
    first = CliRunner().invoke(app, [*arguments, "150"])
    assert first.exit_code == 0, first.output
    with csv.open("a") as file:
        file.write("1,1,L2,15")  # killed while it wrote
    done = CliRunner().invoke(app, [*arguments, "300"])
    assert done.exit_code == 0, done.output
    assert [(row.chunk, row.service, row.runs, row.attacks) for row in read(csv)] == [(0, 1, 150, 9), (1, 2, 150, 9)]
    again = CliRunner().invoke(app, [*arguments, "300"])
    assert again.exit_code == 0 and "300 runs, 18 of them attacks" in again.output
    assert len(read(csv)) == 2


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    done = CliRunner().invoke(app, ["soak", "--csv", str(other)])
    assert done.exit_code == 2 and other.read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("name", ["lost", "wrong", "infra", "harm", "zombies"])
def test_one_bad_run_fails_a_soak(name: str) -> None:
    rows = soak_of(20)
    assert judge(rows).failures == ()
    rows[3] = replace(rows[3], **{name: 1})
    assert judge(rows).failures == (f"{name}: 1",)


@pytest.mark.parametrize(
    ("name", "value"),
    [("hello_cpu_ms", 2.2), ("processes", 10), ("descriptors", 99), ("private_mb", 170), ("files", 14), ("cgroups", 1)],
)
def test_what_grows_fails_a_soak(name: str, value: float) -> None:
    assert len(judge(soak_of(20, **{name: value})).failures) == 1


def test_a_slower_machine_is_no_drift_of_the_service() -> None:
    slower = judge(soak_of(20, hello_cpu_ms=2.6, floor_cpu_ms=0.78))
    assert slower.failures == () and abs(slower.cpu_drift) < 0.01


def test_rows_are_read_as_written(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "soak.csv", [ROW])
    assert read(tmp_path / "deep" / "soak.csv") == [ROW]


def test_chunks_hold_the_same_programs_in_another_order() -> None:
    one, other = (chunk(200, 0.05, ATTACKS[:3], TARGETS, seed) for seed in (1, 2))
    assert one != other
    assert sorted(map(repr, one)) == sorted(map(repr, other))
    assert sum(bool(program.attack) for program in one) == 10
    assert len(attacks_of(Level.L2)) > 30


def test_wrong_answers_are_seen() -> None:
    programs = chunk(100, 0.1, ATTACKS[:1], TARGETS, 1)
    right = [
        RunResult("", p.outcome or Outcome.TIME_LIMIT, stdout=p.stdout, **p.more) for p in programs
    ]  # fmt: skip
    assert list(faults(programs, right)) == []
    for number, result in enumerate(right):
        spoilt = list(right)
        hostile = bool(programs[number].attack)
        spoilt[number] = replace(result, stdout="CLAIM something\n" if hostile else result.stdout + "x")
        assert len(list(faults(programs, spoilt))) == 1
        spoilt[number] = replace(result, outcome=Outcome.INFRA_ERROR)
        assert len(list(faults(programs, spoilt))) == 1
