"""A soak counts the groups of its own service, whoever else runs sandboxes on the machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from code_judge.sandbox.cgroups import CgroupHome

HOME = CgroupHome.find()


def test_groups_of_other_services_are_theirs(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        names = {pid: f"code-judge-{pid}-1" for pid in (os.getpid(), ended.pid, living.pid)}
        for name in (*names.values(), "code-judge-notes"):
            (tmp_path / name).mkdir()
        home = CgroupHome(tmp_path, tmp_path, 2)
        assert home.held_by([os.getpid()]) == {names[os.getpid()]}
        assert home.held_by([os.getpid(), ended.pid]) == {names[os.getpid()], names[ended.pid]}
        assert home.held_by(()) == set()
    finally:
        living.communicate(b"\n")


@pytest.mark.skipif(HOME is None, reason="no cgroup with limits can be made here")
def test_what_outlives_a_killed_worker_is_ended_with_its_group():
    assert HOME is not None
    prefix = f"code-judge-{os.getpid()}-left-"
    group = HOME.make(f"{prefix}1")
    lives = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for path in {group.memory, group.pids}:
            (path / "cgroup.procs").write_text(str(lives.pid))
        HOME.sweep(prefix)
        assert lives.wait(5) == -9 and not group.memory.exists() and not group.pids.exists()
    finally:
        lives.kill()
        lives.communicate()
        HOME.sweep(prefix)
