"""A soak counts the groups of its own service, whoever else runs sandboxes on the machine."""

from __future__ import annotations

import os
import subprocess
import sys

from code_judge.sandbox.cgroups import CgroupHome


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
