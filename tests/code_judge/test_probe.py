"""The level that is reported is one that holds: primitives are taken away, and the level drops and says so. T6, J30."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from code_judge.sandbox import seccomp

PREPARE = Path(__file__).with_name("without_primitives.py")
PACKAGE = PREPARE.parents[2] / "code-judge"
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can take cgroups away here")
pytestmark = pytest.mark.skipif(not seccomp.supported(), reason="no call numbers for this architecture")


def without(*primitives: str, wanted: str = "L0") -> dict[str, Any]:
    """What `choose` says in a process that lacks some primitives: the level and its parts, or why there is none."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, str(PREPARE), "choose", wanted, *primitives]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def best() -> dict[str, Any]:
    found = without()
    if found["level"] < "L2":
        pytest.skip(f"only {found['level']} holds here")
    return found


@needs_root
def test_without_a_cgroup_the_level_drops(best: dict[str, Any]) -> None:
    found = without("cgroup")
    assert found["level"] == "L2" and found["label"].startswith("L2-namespaces")
    assert found["parts"]["mem"] == "rlimit, watched" and found["parts"]["net"] == best["parts"]["net"]
    refused = without("cgroup", wanted="L3")
    assert set(refused["too_weak"].split("; ")) == {"L3: no cgroup can be made"}  # whichever way to the level


def test_without_namespaces_the_level_drops(best: dict[str, Any]) -> None:
    found = without("namespaces")
    assert found["level"] == "L1" and found["label"].startswith("L1-landlock")
    assert found["parts"]["fs"] == "landlock" and found["parts"]["pid"] == "subreaper"
    assert "Operation not permitted" in without("namespaces", wanted="L2")["too_weak"]


@pytest.mark.parametrize("primitives", [("landlock",), ("namespaces", "landlock"), ("namespaces", "seccomp")])
def test_without_landlock_or_a_filter_nothing_is_claimed(primitives: tuple[str, ...]) -> None:
    found = without(*primitives)
    assert found["level"] == "L0" and found["label"].startswith("L0-rlimits")
    assert {found["parts"][name] for name in ("fs", "net", "pid", "signal")} == {"none"}
    assert "too_weak" in without(*primitives, wanted="L1")


def test_a_primitive_that_only_says_that_it_works_is_found_out() -> None:
    """The call succeeds and does nothing, as a wrapper that runs the program unconfined and exits 0."""
    refused = without("namespaces", "landlock lies", wanted="L1")["too_weak"]
    assert "L1: not contained: read" in refused
    assert without("namespaces", "landlock lies")["level"] == "L0"


@pytest.mark.parametrize("wanted", ["L1", "L0"])
def test_a_launcher_that_confines_nothing_is_found_out(wanted: str) -> None:
    found = without("launcher", wanted=wanted)
    if wanted == "L0":
        assert found["level"] == "L0"
    else:
        for way in ("read", "tcp", "unix"):
            assert way in found["too_weak"]


def test_a_worker_below_its_minimum_does_not_start() -> None:
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE), "CODE_JUDGE_QUEUE_URL": "redis://127.0.0.1:1/0",
        "PYTHON_EXECUTOR_PATH": "/usr/bin/python3",
    }  # fmt: skip
    command = [sys.executable, str(PREPARE), "worker", "L1", "landlock"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 78
    assert "isolation L1 does not hold on this machine" in done.stderr
    assert "--allow-unsafe" in done.stderr or "CODE_JUDGE_MIN_ISOLATION" in done.stderr
