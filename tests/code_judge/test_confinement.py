"""A run writes in its own directories only, also where it owns what is around them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

import code_judge
from code_judge.sandbox import seccomp, syscalls
from code_judge.sandbox.host import Host, Means
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.kinds import Kind
from code_judge.sandbox.levels import Level
from code_judge.sandbox.slot import Finished, Mode, Request, SlotLimits, SlotLost
from code_judge.sandbox.syscalls import become_subreaper

LIMITS = SlotLimits(cpu_s=5, wall_s=20, memory=256 << 20, output=1 << 16, processes=16, file_size=1 << 20)
# Without a user of its own at L1, and by a user namespace above, the parent of the work directory is the run's.
OWNERS = [Means(Level.L1, own_uid=False), Means(Level.L2, own_uid=False, user_namespace=True)]
PROGRAM = """
import os, tempfile
for name in (".", tempfile.gettempdir(), "..", "/dev/shm", "../made/"):
    try:
        os.mkdir(name) if name.endswith("/") else open(name + "/new", "w").close()
        print(name == tempfile.gettempdir() and "TMP" or name)
    except OSError:
        pass
try:
    os.rename("../work", "../moved")
    print("moved")
except OSError:
    pass
"""
needs_landlock = pytest.mark.skipif(
    not (syscalls.landlock_abi() and seccomp.supported()), reason="no Landlock, or no call numbers here"
)


def run_with(means: Means, program: str = PROGRAM, *trees: Path) -> Finished:
    """`trees`: further ones of the interpreter."""

    async def go(base_dir: Path) -> Finished:
        interpreter = Interpreter.ask(sys.executable)
        host = Host(replace(interpreter, trees=(*interpreter.trees, *trees)), base_dir, None)
        slot = host.make(means, Kind.BARE)
        try:
            await slot.start()
            return await slot.run(Request(Mode.PROGRAM, {"main.py": program.encode()}, None, LIMITS))
        finally:
            host.dispose(slot)

    become_subreaper()
    with tempfile.TemporaryDirectory(prefix="judge-test-") as directory:
        Path(directory).chmod(0o711)
        return asyncio.run(go(Path(directory)))


@needs_landlock
@pytest.mark.parametrize("means", OWNERS, ids=lambda means: means.level.name)
def test_a_run_writes_only_in_its_own_directories(means: Means) -> None:
    try:
        done = run_with(means)
    except SlotLost as error:
        if not means.user_namespace:
            raise
        pytest.skip(f"{means.level.name} does not hold here: {error}")
    assert done.exit_code == 0, done.stderr
    shared = [b"/dev/shm"] if means.level.has_namespaces else []
    assert done.stdout.split() == [b".", b"TMP", *shared]


@pytest.mark.parametrize("own_uid", [True, False], ids=["own user", "user namespace"])
def test_the_judge_is_hidden_in_a_tree_that_is_named_by_a_link(own_uid: bool) -> None:
    package = Path(code_judge.__file__).parent
    # Not below /tmp, which is the run's own inside.
    with tempfile.TemporaryDirectory(prefix=".judge-link-", dir=package.parents[1]) as directory:
        Path(directory).chmod(0o755)
        link = Path(directory) / "tree"
        link.symlink_to(package.parent)
        program = f"import os\nprint(os.listdir({str(link)!r}), os.listdir({str(link / package.name)!r}))"
        try:
            done = run_with(Means(Level.L2, own_uid=own_uid, user_namespace=not own_uid), program, link)
        except SlotLost as error:
            pytest.skip(f"L2 does not hold here: {error}")
    assert done.exit_code == 0, done.stderr
    assert package.name.encode() in done.stdout and done.stdout.endswith(b"[]\n")
