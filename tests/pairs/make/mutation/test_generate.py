"""Executed mutations: real commands, exact cascade hits, the same bytes again, and a killed run goes on."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cleartrace.data.errors import DataError
from cleartrace.pairs.audit.features import Shortcut
from cleartrace.pairs.audit.shortcuts import score
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.make.mutation import generate as g
from cleartrace.pairs.make.mutation.mutators import mutations
from cleartrace.pairs.make.mutation.workspace import Workspace
from cleartrace.pairs.mine.trajectories.instance import parse_instance
from cleartrace.pairs.mine.trajectories.judge.rules import RuleJudge
from cleartrace.pairs.mine.trajectories.mask import Needles, leaks
from cleartrace.pairs.mine.trajectories.patch import parse_patch
from cleartrace.pairs.mine.trajectories.pipeline import mine

TOYBOX = '''"""A package to be broken."""
import os


def collatz(n):
    """Number of steps down to one."""
    total_steps = 0
    while n > 1 and total_steps < 500:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        total_steps += 1
    return total_steps


def clamp_sum(values, limit=100):
    running_total = 0
    for number in values:
        if number > 0 and running_total + number <= limit:
            running_total = running_total + number
        else:
            running_total = running_total - 1
    return running_total


def reaches_out(path):
    open(str(path), "w").write("x")
    os.system("touch reached")
    return 1


def forever(n):
    while True:
        n += 1
'''


@pytest.fixture(scope="module")
def toybox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    (folder / "toybox_to_break").mkdir()
    (folder / "toybox_to_break/__init__.py").write_text("")
    (folder / "toybox_to_break/numbers_of.py").write_text(TOYBOX)
    sys.path.insert(0, str(folder))
    yield "toybox_to_break.numbers_of"
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def made(toybox, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    options = g.MutationOptions(functions=2, per_function=2, tried=8, modules=(toybox,), workers=2)
    return g.generate(out, options), options


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_really_fails_first_and_passes_after_the_edit(made):
    for row in lines(made[0].trajectories):
        results = [m["content"] for m in row["messages"] if "Ran 8 tests" in m["content"]]
        assert "FAILED (" in results[0] and results[-1].endswith("OK\n</output>")
        final = row["messages"][-1]["content"]
        assert final.startswith(
            "<returncode>0</returncode>\n<output>\nMINI_SWE_AGENT_FINAL_OUTPUT\ndiff --git a/toybox"
        )
        instance = parse_instance(row["instance_id"])
        assert instance and instance.repository == "pypi/toybox_to_break" and instance.bug_type.startswith("func_pm_")
        assert all("/tmp/" not in m["content"] for m in row["messages"]), "paths of this machine"


def test_the_task_says_which_tests_fail_and_its_patch_puts_the_bug_in(made, toybox, tmp_path):
    """Played without the agent: base + patch fails exactly FAIL_TO_PASS, base alone fails none."""
    root = made[0].tasks.parent / "repositories"
    task = lines(made[0].tasks)[0]
    with Workspace(root / task["repo"] / "toybox_to_break", task["test_files"]) as workspace:
        command = f"python -m unittest -v {next(name for name in task['test_files'] if '__init__' not in name)}"
        assert workspace.run(command).status == 0
        subprocess.run(["git", "apply"], input=task["patch"], text=True, cwd=workspace.root, check=True)
        output = workspace.run(command).output
    failed = {line.split()[1] for line in output.splitlines() if line.startswith(("FAIL: ", "ERROR: "))}
    assert failed == {name.rpartition("::")[2] for name in task["FAIL_TO_PASS"]}
    assert task["PASS_TO_PASS"]


def test_two_mutations_of_a_function_are_an_exact_hit_of_the_cascade(made, tmp_path):
    done = mine([made[0].trajectories], tmp_path / "pairs.jsonl", judge=RuleJudge(), tasks=[made[0].tasks])
    assert done.funnel["trajectories"] == {"read": 4, "left_out": {}, "used": 4}
    assert done.funnel["pairs"]["3_different_change"] == 2, "two functions, one pair of instances each"
    assert done.funnel["pairs"]["5_masked"] >= 1, done.funnel["outcomes"]
    pairs = read_pairs([done.pairs]) + [pair for line in lines(done.review) for pair in map(g_pair, line["pairs"])]
    assert pairs
    for pair in pairs:
        needles = Needles.of_patches(parse_patch(pair.answer))
        assert not leaks((*pair.pos, *pair.neg), needles)
    if len({pair.group for pair in pairs}) > 1:
        assert score(pairs, Shortcut.CONTEXT_ONLY).accuracy == 0.5


def g_pair(fields: dict):
    from cleartrace.pairs.record import Pair

    return Pair.model_validate(fields)


def test_the_same_seed_gives_the_same_bytes_also_after_a_kill(made, tmp_path, monkeypatch):
    first, options = made
    part, calls = g.Generator.part, []

    def dies(self, unit):
        calls.append(unit)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return part(self, unit)

    monkeypatch.setattr(g.Generator, "part", dies)
    with pytest.raises(KeyboardInterrupt):
        g.generate(tmp_path, options)
    assert not (tmp_path / "trajectories.jsonl").exists()
    monkeypatch.setattr(g.Generator, "part", part)
    again = g.generate(tmp_path, options)
    assert again.trajectories.read_bytes() == first.trajectories.read_bytes()
    assert again.tasks.read_bytes() == first.tasks.read_bytes()


def test_a_repository_whose_copy_was_interrupted_is_copied_again(made, tmp_path, monkeypatch):
    first, options = made
    shutil.copytree(first.tasks.parent / "parts", tmp_path / "parts")
    copy = shutil.copytree

    def killed(source, target, **rest):
        if tmp_path in target.parents:
            target.mkdir(parents=True)
            (target / "half.py").touch()
            raise KeyboardInterrupt
        return copy(source, target, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            g.generate(tmp_path, options)
    g.generate(tmp_path, options)
    assert files(tmp_path / "repositories") == files(first.tasks.parent / "repositories") != []


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_a_folder_of_other_options_is_refused(made):
    with pytest.raises(DataError, match="other options"):
        g.generate(made[0].tasks.parent, g.MutationOptions(seed=9))


def test_guessed_calls_cannot_write_or_start_processes_and_do_not_hang(toybox, made):
    root = made[0].tasks.parent / "repositories"
    package = next(root.iterdir()) / "toybox_to_break"
    with Workspace(package, {}) as workspace:
        calls = [("reaches_out", "'made'"), ("forever", "1"), ("forever", "2"), ("forever", "3"), ("collatz", "6")]
        assert workspace.observe(toybox, calls) == [None, None, None, None, "8"]
        assert not (workspace.root / "made").exists() and not (workspace.root / "reached").exists()


def test_a_command_that_does_not_end_is_stopped(toybox, made):
    package = next((made[0].tasks.parent / "repositories").iterdir()) / "toybox_to_break"
    with Workspace(package, {}) as workspace:
        assert workspace.run("sleep 60 & sleep 60", timeout_s=0.3).status == 124


def test_no_variable_of_the_caller_reaches_a_command(toybox, made, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hidden")
    package = next((made[0].tasks.parent / "repositories").iterdir()) / "toybox_to_break"
    with Workspace(package, {}) as workspace:
        assert "SOME_TOKEN" not in workspace.run("env").output


@pytest.mark.parametrize(
    ("body", "bug_type", "changed"),
    [
        ("return a + b", "func_pm_op_change", "return a - b"),
        ("return a < b", "func_pm_op_change", "return a <= b"),
        ("return a not in b", "func_pm_op_change", "return a in b"),
        ("return a and b", "func_pm_op_change", "return a or b"),
        ("return a - b", "func_pm_op_swap", "return b - a"),
        ("return a[1]", "func_pm_op_change_const", "return a[2]"),
        ("return a if b else 0", "func_pm_ctrl_invert_if", "return a if not (b) else 0"),
        ("return 'é' + a", "func_pm_op_change", "return 'é' - a"),
    ],
)
def test_mutators_change_one_place_and_leave_the_rest(body, bug_type, changed):
    source = f"x = 1  # stays\n\n\ndef f(a, b=2):\n    {body}  # stays too\n"
    found = {(m.bug_type, m.source) for m in mutations(source, "f")}
    assert (bug_type, source.replace(body, changed)) in found
    assert all(m.line == 5 for m in mutations(source, "f"))
