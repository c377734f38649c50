"""The repository inside a sandbox: made the task's, and read back as a diff. Everything here is a bash command.

History is written anew with one commit: images carry commits from after the task, which show its solution.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from cleartrace.tools.shell.runtime import CommandResult, Sandbox, SandboxLost
from cleartrace.tools.shell.task import HiddenPart

STEP_S = 300.0
"""Seconds one of our own steps may take."""
# Settings of a repository that would run something, or change what is printed, are out of the way.
GIT = (
    "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.quotePath=true -c core.autocrlf=false "
    "-c commit.gpgSign=false -c user.name=task -c user.email=task@localhost"
)
_COMMIT = f"{GIT} add -A && {GIT} commit -q --allow-empty --no-verify -m task && git rev-parse HEAD"
_APPLY = f"{GIT} apply --whitespace=nowarn -"


class StepFailed(SandboxLost):
    """A command of ours ended badly in a sandbox that is alive."""


async def step(sandbox: Sandbox, command: str, stdin: bytes = b"", timeout_s: float = STEP_S) -> CommandResult:
    """One of our own commands. Raises StepFailed, SandboxLost."""
    done = await sandbox.run(command, timeout_s, stdin)
    if not done.ok:
        what = done.stopped or f"exit status {done.exit_code}"
        raise StepFailed(f"a step of ours ended with {what}: {command[:120]!r}: {done.output[-600:]}")
    return done


async def prepare(sandbox: Sandbox, hidden: HiddenPart, timeout_s: float = STEP_S) -> str:
    """Make the repository what the model starts from; returns the commit. Raises SandboxLost."""
    await _fresh_history(sandbox, hidden, timeout_s)
    await _remove(sandbox, hidden.removed)
    return await commit(sandbox, timeout_s)


async def prepare_for_tests(sandbox: Sandbox, hidden: HiddenPart, timeout_s: float = STEP_S) -> tuple[str, str]:
    """The same with nothing lost: (commit with all files, commit the model started from). Raises SandboxLost."""
    await _fresh_history(sandbox, hidden, timeout_s)
    full = await commit(sandbox, timeout_s)
    if not hidden.removed:
        return full, full
    await _remove(sandbox, hidden.removed)
    return full, await commit(sandbox, timeout_s)


async def _fresh_history(sandbox: Sandbox, hidden: HiddenPart, timeout_s: float) -> None:
    await step(sandbox, "rm -rf .git && git -c init.defaultBranch=main init -q .", timeout_s=timeout_s)
    if hidden.setup_patch:
        await step(sandbox, _APPLY, diff_bytes(hidden.setup_patch), timeout_s)


async def commit(sandbox: Sandbox, timeout_s: float = STEP_S) -> str:
    """Commit everything; returns the commit. Raises SandboxLost."""
    return (await step(sandbox, _COMMIT, timeout_s=timeout_s)).output.split()[-1]


async def _remove(sandbox: Sandbox, paths: Iterable[str]) -> None:
    if names := quoted(paths):
        await step(sandbox, f"rm -rf -- {names}")


async def apply_patch(sandbox: Sandbox, patch: str) -> CommandResult:
    """Try to apply a diff to the repository. Raises SandboxLost."""
    return await sandbox.run(_APPLY, STEP_S, diff_bytes(patch))


async def paths_of(sandbox: Sandbox, patch: str) -> tuple[str, ...]:
    """Paths that a diff writes, as git reads it; empty for what is no diff. Raises SandboxLost."""
    done = await sandbox.run(f"{GIT} apply --numstat -z - 2>/dev/null", STEP_S, diff_bytes(patch))
    rows = [row.split("\t", 2) for row in done.output.split("\0")] if done.ok else []
    return tuple(row[2] for row in rows if len(row) == 3 and row[2])


async def files_at(sandbox: Sandbox, revision: str) -> tuple[str, ...]:
    """Paths of all files of a commit. Raises SandboxLost."""
    done = await step(sandbox, f"git ls-tree -r -z --name-only {revision}")
    return tuple(name for name in done.output.split("\0") if name)


async def restore(sandbox: Sandbox, revision: str, paths: Iterable[str], known: frozenset[str]) -> None:
    """Bring `paths` back to how they are at `revision`, whose files are `known`. Raises SandboxLost."""
    wanted = sorted(set(paths))
    for some in batches(wanted):
        await step(sandbox, f"rm -rf -- {quoted(some)}")
    for some in batches([path for path in wanted if path in known]):
        await step(sandbox, f"{GIT} checkout -q {revision} -- {quoted(some)}")


async def working_diff(sandbox: Sandbox, base: str) -> str:
    """What the model changed since `base`, new files included; '' when it took the repository's git away.

    The text is the model's word: it is data, to be applied elsewhere. Raises SandboxLost.
    """
    show = f"{GIT} diff --cached --binary --no-color --no-ext-diff --no-textconv {base}"
    done = await sandbox.run(f"{GIT} add -A >/dev/null 2>&1; {show} 2>/dev/null", STEP_S)
    return done.output if done.ok else ""


def diff_bytes(patch: str) -> bytes:
    """A diff as git wants it: it must end with a newline."""
    return (patch if patch.endswith("\n") else patch + "\n").encode("utf-8", "surrogateescape")


def quoted(paths: Iterable[str]) -> str:
    return " ".join(shlex.quote(path) for path in paths)


def batches(paths: list[str], most: int = 200) -> list[list[str]]:
    """Pieces that fit into one command."""
    return [paths[i : i + most] for i in range(0, len(paths), most)]
