"""Grade a patch: a fresh sandbox, the patch, then the hidden tests. The sandbox the model worked in is not looked at.

A test counts as passed when a line with a random word says so. The word reaches the runner on stdin after the patch is
in place, so nothing that was written before knows it, and `os._exit(0)` or a printed 'PASSED' is not a pass. What this
does not hold: tests run in the process of the code they test, and code that looks for the word in that process's
memory finds it. Read patches of a policy that scores well on tests it should not pass.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from posixpath import basename

from cleartrace.tools.result import ToolStatus
from cleartrace.tools.shell import workspace
from cleartrace.tools.shell.config import ShellConfig
from cleartrace.tools.shell.runtime import CommandResult, Evaluation, Runtime, Sandbox, SandboxLost, Verdict
from cleartrace.tools.shell.snapshot import pack_files
from cleartrace.tools.shell.task import HiddenPart, ShellTask

PASSED = frozenset({"passed", "xfailed"})
PROTECTED = frozenset(
    {"conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "sitecustomize.py",
     "usercustomize.py", "pytest.py"}
)  # fmt: skip
"""Files that steer the tests. A patch may hold them, and is graded without its changes to them."""
_ARGUMENT_BYTES = 30_000
_LOG_TAIL = 3000
_DETAIL = 600
_READY = "ready"

# Plain enough for any Python that pytest runs on: images of old repositories have 3.6.
RUNNER = """\
import os, sys
word = sys.stdin.readline().strip()
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
out = os.fdopen(os.dup(3), "w")
os.close(3)
import pytest


def say(what, name=""):
    out.write("%s %s %s\\n" % (word, what, name.replace("\\n", " ")))
    out.flush()


class Report(object):
    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        if report.when == "call" or outcome != "passed":
            say(outcome, report.nodeid)


say("ready")
sys.path.insert(0, os.getcwd())
sys.exit(pytest.main(sys.argv[1:], plugins=[Report()]))
"""


async def evaluate(
    runtime: Runtime, task: ShellTask, hidden: HiddenPart, patch: str, config: ShellConfig
) -> Evaluation:
    """Whether all hidden tests pass on the repository with `patch`. Never raises for what a patch holds."""
    if not patch.strip():
        return Evaluation(Verdict.NO_PATCH)
    return await run_tests(runtime, task, hidden, patch, config)


async def run_tests(
    runtime: Runtime, task: ShellTask, hidden: HiddenPart, patch: str, config: ShellConfig
) -> Evaluation:
    """As `evaluate`, and an empty patch is run too: a sound task fails with it."""
    try:
        sandbox = await runtime.open(task)
        try:
            return await _graded(sandbox, hidden, patch, config)
        finally:
            await sandbox.close()
    except SandboxLost as error:
        return Evaluation(Verdict.INFRA_ERROR, detail=str(error)[:_DETAIL])


async def _graded(sandbox: Sandbox, hidden: HiddenPart, patch: str, config: ShellConfig) -> Evaluation:
    full, _ = await workspace.prepare_for_tests(sandbox, hidden, config.start_timeout_s)
    known = frozenset(await workspace.files_at(sandbox, full))
    touched = await workspace.paths_of(sandbox, patch)
    if patch.strip():
        applied = await workspace.apply_patch(sandbox, patch)
        if not applied.ok:
            return Evaluation(Verdict.PATCH_FAILED, detail=applied.output[-_DETAIL:])
    try:
        return await _tested(sandbox, hidden, full, known, touched, config)
    except workspace.StepFailed as error:
        # The same steps work with the gold patch (`check`), so this one is the patch's doing: it filled the disk, say.
        return Evaluation(Verdict.PATCH_FAILED, detail=str(error)[:_DETAIL])


async def _tested(
    sandbox: Sandbox,
    hidden: HiddenPart,
    full: str,
    known: frozenset[str],
    touched: Sequence[str],
    config: ShellConfig,
) -> Evaluation:
    """Bring the hidden tests into a repository that holds the patch, and run them."""
    legitimate = frozenset(await workspace.paths_of(sandbox, hidden.gold_patch)) if hidden.gold_patch else frozenset()
    await workspace.restore(sandbox, full, protected(known, touched, hidden, legitimate), known)
    await _bring_tests(sandbox, hidden, full, known)
    folder, word = f"/tmp/{secrets.token_hex(8)}", secrets.token_hex(16)
    await workspace.step(sandbox, f"mkdir -p {folder} && cat > {folder}/run_hidden_tests.py", RUNNER.encode())
    done = await sandbox.run(test_command(hidden, folder), config.evaluation_timeout_s, f"{word}\n".encode())
    log = await sandbox.run(f"tail -c {_LOG_TAIL} {folder}/log", workspace.STEP_S)
    return judged(done, word, hidden, log.output)


def protected(
    known: frozenset[str], touched: Sequence[str], hidden: HiddenPart, legitimate: frozenset[str]
) -> frozenset[str]:
    """Paths to bring back before the tests: what steers pytest, the tests themselves, and what the model did not see.

    Args:
        known: files of the repository.
        touched: files that the patch writes.
        legitimate: files that the gold patch changes.
    """
    steering = {path for path in (*known, *touched) if basename(path) in PROTECTED} - legitimate
    tests = {test.partition("::")[0] for test in hidden.test_ids}
    return frozenset(steering | tests | set(hidden.removed))


async def _bring_tests(sandbox: Sandbox, hidden: HiddenPart, full: str, known: frozenset[str]) -> None:
    if hidden.test_patch:
        await workspace.restore(sandbox, full, await workspace.paths_of(sandbox, hidden.test_patch), known)
        applied = await workspace.apply_patch(sandbox, hidden.test_patch)
        if not applied.ok:
            raise workspace.StepFailed(f"the hidden tests cannot be added: {applied.output[-_DETAIL:]}")
    if hidden.test_files:
        names = workspace.quoted(hidden.test_files)
        await workspace.step(sandbox, f"rm -rf -- {names} && tar -xf -", pack_files(hidden.test_files))


def test_command(hidden: HiddenPart, folder: str) -> str:
    """Run the tests by id, or by file where the ids are too many for one command; output goes to a log file."""
    ids = list(hidden.test_ids)
    if sum(len(test.encode()) + 3 for test in ids) > _ARGUMENT_BYTES:
        ids = sorted({test.partition("::")[0] for test in ids})
    run = f"python {folder}/run_hidden_tests.py -p no:cacheprovider -q {workspace.quoted(ids)}"
    return f"{run} 3>&1 >{folder}/log 2>&1"


test_command.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


def judged(done: CommandResult, word: str, hidden: HiddenPart, log: str) -> Evaluation:
    """Read the runner's lines. A test that reported a failure at any phase failed, whatever else it reported."""
    outcomes: dict[str, str] = {}
    ready = False
    for line in done.output.splitlines():
        said, _, rest = line.partition(" ")
        outcome, _, name = rest.partition(" ")
        if not secrets.compare_digest(said.encode("utf-8", "replace"), word.encode()):
            continue
        ready = ready or outcome == _READY
        if name and (name not in outcomes or outcomes[name] in PASSED):
            outcomes[name] = outcome
    if not ready:
        return Evaluation(Verdict.INFRA_ERROR, detail=f"pytest did not start: {log[-_DETAIL:]}")
    wanted = {test: outcomes.get(test, "missing") for test in hidden.test_ids}
    if all(outcome in PASSED for outcome in wanted.values()):
        return Evaluation(Verdict.RESOLVED, wanted)
    verdict = Verdict.TIMEOUT if done.status is ToolStatus.TIMEOUT else Verdict.UNRESOLVED
    return Evaluation(verdict, wanted, log[-_DETAIL:])
