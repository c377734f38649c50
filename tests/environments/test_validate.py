"""Validation finds environments that judge wrongly, and the commands around it say so."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleartrace.environments import install as installation
from cleartrace.environments.cli import app
from cleartrace.environments.host import Host
from cleartrace.environments.install import install, interpreter
from cleartrace.environments.registry import Adapter, MissingPackage
from cleartrace.environments.splits import SHARES, of_split, split_of
from cleartrace.environments.stand_ins import stand_ins
from cleartrace.environments.validate import Verdict, validate
from cleartrace.episodes.types import Task

FOLDER = Path(__file__).parent
RIGHT = f"{FOLDER / 'troublesome.py'}:Troublesome"
WRONG = f"{FOLDER / 'troublesome.py'}:Misjudging"


def test_validation_names_what_an_environment_judges_wrongly():
    async def run():
        async with Host(WRONG) as host:
            told = []
            return await validate(host, await host.tasks(), tell=told.append), told

    found, told = asyncio.run(run())
    assert {finding.task.id: finding.verdict for finding in found} == {
        "good": Verdict.GOOD,
        "without": Verdict.NO_GOLD,
        "unsolved": Verdict.GOLD_FAILS,
        "lenient": Verdict.IDLE_PASSES,
        "known": Verdict.IDLE_KNOWN,
        "stale": Verdict.FAULT,
        "broken": Verdict.FAULT,
    }
    assert sorted(told, key=lambda f: f.task.id) == sorted(found, key=lambda f: f.task.id)
    assert {finding.task.id for finding in found if finding.verdict.fine} == {"good", "without", "known"}
    notes = {finding.task.id: finding.note for finding in found}
    assert "crashed on purpose" in notes["broken"] and "does not" in notes["stale"]


def test_the_command_exits_with_1_and_prints_the_tasks_at_fault():
    bad = CliRunner().invoke(app, ["validate", WRONG])
    assert bad.exit_code == 1 and "unsolved: gold fails" in bad.output and "good:" not in bad.output
    good = CliRunner().invoke(app, ["validate", RIGHT, "--limit", "2", "-o", "needs_user=true"])
    assert good.exit_code == 0, good.output
    wrong = CliRunner().invoke(app, ["validate", RIGHT, "-o", "slow_biuld_s=1"])
    assert wrong.exit_code == 2 and "did you mean 'slow_build_s'" in wrong.output


def test_the_commands_that_list():
    shown = CliRunner().invoke(app, ["tasks", RIGHT, "--split", "test"])
    assert [json.loads(line)["id"] for line in shown.output.splitlines()] == ["t1", "t2"]
    listed = CliRunner().invoke(app, ["list"])
    assert listed.exit_code == 0 and "agentdojo" in listed.output and "ruleworld" in listed.output


def test_an_installation_is_whole_or_not_there_and_is_found(tmp_path, monkeypatch):
    pins = tmp_path / "pins"
    pins.mkdir()
    (pins / "small.txt").write_text("# nothing needed\n")
    (pins / "broken.txt").write_text("./no-such-folder\n")
    monkeypatch.setattr(installation, "_REQUIREMENTS", pins)
    monkeypatch.setenv(installation.PLACES, str(tmp_path / "places"))
    adapter = Adapter("small", "nowhere:Small", "no_such_package_anywhere", "install it")
    with pytest.raises(MissingPackage, match="install it"):
        interpreter(adapter)

    folder = install("small")
    assert folder == tmp_path / "places" / "small" and interpreter(adapter) == str(folder / "bin" / "python")
    said = []
    install("small", say=said.append)
    assert said == [f"{folder} is up to date"]

    (pins / "small.txt").write_text("# another pin\n")
    with pytest.raises(MissingPackage):
        interpreter(adapter)

    with pytest.raises(OSError, match="could not install broken.txt"):
        install("broken")
    assert sorted(path.name for path in (tmp_path / "places").iterdir()) == ["small"]
    with pytest.raises(ValueError, match="nothing to install"):
        install("ruleworld")


def test_splits_follow_the_group_and_hold_their_shares():
    groups = [str(number) for number in range(4000)]
    for name, share in SHARES:
        assert abs(sum(split_of("x", group) == name for group in groups) / 4000 - share) < 0.03
    tasks = [Task(environment="x", id=i, input="", split=split_of("x", i)) for i in groups[:50]]
    assert of_split(tasks, None) == tasks
    with pytest.raises(ValueError, match="no split 'dev'; there are: test, train, validation"):
        of_split(tasks, "dev")


def test_a_stand_in_can_be_named_but_not_used_and_leaves_no_trace():
    import sys

    with stand_ins("no_such_sdk", "json"):
        import no_such_sdk.errors as errors  # type: ignore[import-not-found]
        from no_such_sdk import Client  # type: ignore[import-not-found]

        class Ours(Client):
            field: Client[int] | None = None

        assert no_such_call(Client) is None
    assert issubclass(errors.ApiError, Exception) and "no_such_sdk" not in sys.modules
    assert json.loads("1") == 1
    with pytest.raises(ModuleNotFoundError, match="no_such_sdk is not installed"):
        Client()
    with pytest.raises(ModuleNotFoundError):
        import no_such_sdk  # type: ignore[import-not-found] # noqa: F401


def no_such_call(client):
    return client("while importing")


def test_a_validation_goes_on_where_it_stopped(tmp_path):
    """What was found is not looked for again, faults are, a torn row is made up for, and other settings are refused."""
    out = tmp_path / "validation"
    command = ["validate", WRONG, "--out", str(out)]
    whole = CliRunner().invoke(app, command)
    file = out / "findings.csv"
    header, *rows = file.read_text().splitlines(keepends=True)
    faults = sorted(row for row in rows if ",fault," in row)
    assert len(rows) == 7 and len(faults) == 2

    file.write_text(header + rows[0] + rows[1] + rows[2][:5])
    again = CliRunner().invoke(app, command)
    assert again.exit_code == whole.exit_code == 1 and _table(again.output) == _table(whole.output)
    kept = file.read_text().splitlines(keepends=True)
    assert kept[:3] == [header, rows[0], rows[1]] and sorted(set(kept[1:])) == sorted(rows)

    third = CliRunner().invoke(app, command)
    added = file.read_text().splitlines(keepends=True)[len(kept) :]
    assert sorted(added) == faults and _table(third.output) == _table(whole.output)

    other = CliRunner().invoke(app, [*command, "--seed", "1"])
    assert other.exit_code == 2 and "seed: 0 there, 1 now" in other.output


def _table(output: str) -> str:
    return output[output.index("split") :]
