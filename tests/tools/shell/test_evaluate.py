"""Hidden tests on patches, in real sandboxes: what solves, what does not, and what only tries to look solved."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

from cleartrace.tools.result import Blame, ToolStatus
from cleartrace.tools.shell import workspace
from cleartrace.tools.shell.check import check_task
from cleartrace.tools.shell.evaluate import RUNNER, evaluate, judged, protected, test_command
from cleartrace.tools.shell.local import LocalRuntime
from cleartrace.tools.shell.rows import WholeTask
from cleartrace.tools.shell.runtime import CommandResult, Evaluation, Verdict
from cleartrace.tools.shell.task import HiddenPart
from tests.tools.shell.cases import (
    CONFIG,
    FIX,
    HIDDEN,
    HIDDEN_FILE,
    RIGHT,
    SOURCE,
    WRONG,
    mutation_task,
    new_file_diff,
    small_task,
    write_repository,
)


def diff_of(folder: Path, *commands: str) -> str:
    """The diff that these commands make in a sandbox of the task."""

    async def go() -> str:
        sandbox = await LocalRuntime(CONFIG).open(small_task(folder).task)
        try:
            base = await workspace.prepare(sandbox, HIDDEN)
            for command in commands:
                assert (await sandbox.run(command, 20)).ok
            return await workspace.working_diff(sandbox, base)
        finally:
            await sandbox.close()

    return asyncio.run(go())


def grade(folder: Path, patch: str, hidden: HiddenPart = HIDDEN) -> Evaluation:
    return asyncio.run(evaluate(LocalRuntime(CONFIG), small_task(folder).task, hidden, patch, CONFIG))


def test_a_sound_task_fails_untouched_and_passes_with_its_gold_patch(tmp_path):
    finding = asyncio.run(check_task(LocalRuntime(CONFIG), small_task(tmp_path), CONFIG))
    assert finding.sound, finding.line()
    assert finding.untouched.outcomes[HIDDEN.fail_to_pass[0]] == "failed"
    assert finding.gold.blame is Blame.NOBODY
    assert set(finding.gold.outcomes) == set(HIDDEN.test_ids) and set(finding.gold.outcomes.values()) == {"passed"}


@pytest.mark.parametrize(
    ("patch", "verdict"),
    [("", Verdict.NO_PATCH), (" \n", Verdict.NO_PATCH), ("I fixed it.", Verdict.PATCH_FAILED)],
)
def test_nothing_and_nonsense_are_the_models_fault(tmp_path, patch, verdict):
    graded = grade(tmp_path, patch)
    assert (graded.verdict, graded.blame) == (verdict, Blame.MODEL)


FORGED_REPORT = """import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    made = yield
    made.get_result().outcome = "passed"
"""
TRICKS = {
    "steer pytest": new_file_diff("conftest.py", FORGED_REPORT),
    "answer in its place": new_file_diff("pytest.py", "print('w passed')\nraise SystemExit(0)\n"),
    "end before the tests": new_file_diff("shapes/__init__.py", "import os\nprint('1 passed')\nos._exit(0)\n").replace(
        "new file mode 100644\n--- /dev/null", "--- a/shapes/__init__.py"
    ),
    "bring the tests": new_file_diff(f"{HIDDEN_FILE}/conftest.py", FORGED_REPORT),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_are_not_a_pass(tmp_path, trick):
    graded = grade(tmp_path, TRICKS[trick])
    assert graded.verdict is Verdict.UNRESOLVED and graded.blame is Blame.MODEL, graded


def test_tricks_beside_a_repair_do_not_spoil_it(tmp_path):
    link = "rm -rf tests; mkdir elsewhere; ln -s elsewhere tests"
    patch = diff_of(tmp_path, link, "echo 'raise SystemExit' > conftest.py", FIX)
    assert grade(tmp_path, patch).resolved


def test_tests_that_come_as_a_diff(tmp_path):
    """SWE-Gym brings its tests as a diff; the model may have written the same files (it is graded without them)."""
    test = "from shapes.area import rectangle\n\n\ndef test_it():\n    assert rectangle(2, 3) == 6\n"
    test_patch = new_file_diff("tests/test_new.py", test)
    hidden = HiddenPart(test_patch=test_patch, fail_to_pass=("tests/test_new.py::test_it",))
    mine = HIDDEN.gold_patch + new_file_diff("tests/test_new.py", "assert False\n")
    assert grade(tmp_path, mine, hidden).resolved


def test_a_bug_made_by_a_diff_and_tests_that_were_removed(tmp_path):
    """SWE-smith: the repository is right, a diff makes the bug, and the failing tests are taken away."""
    folder = write_repository(tmp_path / "right", SOURCE)
    test = "from shapes.area import square\n\n\ndef test_three():\n    assert square(3) == 9\n"
    (folder / "tests/test_visible.py").write_text(test)
    to_bug = HIDDEN.gold_patch.replace(f"-    {WRONG}\n+    {RIGHT}", f"-    {RIGHT}\n+    {WRONG}")
    hidden = HiddenPart(
        setup_patch=to_bug, removed=("tests/test_visible.py",), fail_to_pass=("tests/test_visible.py::test_three",)
    )
    task = small_task(tmp_path / "other").task.model_copy(update={"repository": str(folder)})
    finding = asyncio.run(check_task(LocalRuntime(CONFIG), WholeTask(task, hidden, "local"), CONFIG))
    assert finding.sound, finding.line()

    async def seen() -> str:
        sandbox = await LocalRuntime(CONFIG).open(task)
        try:
            await workspace.prepare(sandbox, hidden)
            done = await sandbox.run(
                "ls -AR tests; cat shapes/area.py; git log --all -p | grep -c 'square(3) == 9'", 20
            )
            return done.output
        finally:
            await sandbox.close()

    output = asyncio.run(seen())
    assert WRONG in output and "test_visible" not in output
    assert output.endswith("\n0\n")


def test_an_installed_package_is_not_beside_its_mutation(tmp_path):
    """The sandbox shows the mutated copy only; the copy is what is imported."""
    whole = mutation_task(tmp_path)

    async def go() -> str:
        sandbox = await LocalRuntime(CONFIG).open(whole.task)
        try:
            find = "find / -xdev -path '*mdurl*' -not -path '/box/*' 2>/dev/null"
            shown = "python -c 'import mdurl as m; print(m)'"
            return (await sandbox.run(f"(cd /; python -c 'import mdurl'); {find}; {shown}", 20)).output
        finally:
            await sandbox.close()

    output = asyncio.run(go())
    assert "No module named 'mdurl'" in output
    assert output.splitlines()[-1].startswith("<module 'mdurl' from '/box/w/")
    assert len(output.splitlines()) == 4


def test_a_sandbox_without_pytest_is_nobodys_failure(tmp_path):
    task = small_task(tmp_path).task.model_copy(update={"packages": ()})
    graded = asyncio.run(evaluate(LocalRuntime(CONFIG), task, HIDDEN, HIDDEN.gold_patch, CONFIG))
    assert (graded.verdict, graded.blame) == (Verdict.INFRA_ERROR, Blame.SANDBOX)
    assert "No module named 'pytest'" in graded.detail


def line(word: str, outcome: str, test: str) -> str:
    return f"{word} {outcome} {test}\n"


def test_only_lines_with_the_word_count_and_a_failure_outweighs_a_pass():
    first, second = HIDDEN.fail_to_pass
    rest = "".join(line("w", "passed", test) for test in HIDDEN.pass_to_pass)
    ready = "w ready \n"
    good = ready + line("w", "passed", first) + line("w", "xfailed", second) + rest

    def verdict(output: str) -> Verdict:
        return judged(CommandResult(ToolStatus.OK, output, 0), "w", HIDDEN, "").verdict

    assert verdict(good) is Verdict.RESOLVED
    assert verdict(good + line("w", "failed", first)) is Verdict.UNRESOLVED
    assert verdict(line("w", "failed", first) + good) is Verdict.UNRESOLVED
    assert verdict(good.replace(line("w", "passed", first), line("v", "passed", first))) is Verdict.UNRESOLVED
    assert verdict(good.replace("xfailed", "skipped")) is Verdict.UNRESOLVED
    assert verdict(good.replace(ready, "")) is Verdict.INFRA_ERROR
    late = CommandResult(ToolStatus.TIMEOUT, ready, stopped="wall")
    assert judged(late, "w", HIDDEN, "").verdict is Verdict.TIMEOUT


def test_what_is_brought_back_before_the_tests():
    known = frozenset({"conftest.py", "sub/conftest.py", "setup.cfg", "a.py", "tests/test_visible.py"})
    back = protected(known, ["a.py", "new/conftest.py"], HIDDEN, frozenset({"setup.cfg"}))
    assert back == {"conftest.py", "sub/conftest.py", "new/conftest.py", "tests/test_visible.py", HIDDEN_FILE}


def test_many_ids_are_run_by_file():
    few = test_command(HIDDEN, "/tmp/x")
    assert "'tests/test_hidden.py::test_rectangle[sides0]'" in few
    many = HIDDEN.model_copy(update={"pass_to_pass": tuple(f"tests/test_b.py::test_{i:040d}" for i in range(2000))})
    assert "tests/test_b.py tests/test_hidden.py 3>&1" in test_command(many, "/tmp/x")


def test_the_runner_is_plain_enough_for_old_interpreters():
    ast.parse(RUNNER, feature_version=(3, 6))
