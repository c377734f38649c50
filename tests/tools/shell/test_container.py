"""The container runtime: its argument lists, and how it reads what an engine says."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from cleartrace.tools.result import ToolStatus
from cleartrace.tools.shell.config import Engine, ShellConfig
from cleartrace.tools.shell.container import (
    LABEL,
    ContainerRuntime,
    call,
    exec_arguments,
    limited,
    remove_arguments,
    run_arguments,
)
from cleartrace.tools.shell.runtime import CommandResult, SandboxLost
from cleartrace.tools.shell.task import ShellTask

TASK = ShellTask(instance_id="a__b-1", repo="a/b", problem_statement="p", image="docker.io/x/sweb.a_s_b-1:latest")
CONFIG = ShellConfig(engine=Engine.PODMAN, memory_mb=1024, pids=99, cpus=1.5)


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_a_container_has_no_network_no_capability_and_limits():
    arguments = run_arguments(TASK, "box", CONFIG)
    assert arguments[:4] == ["podman", "run", "--detach", "--rm"]
    wanted = {
        "--network": "none", "--cap-drop": "ALL", "--security-opt": "no-new-privileges", "--memory": "1024m",
        "--memory-swap": "1024m", "--pids-limit": "99", "--cpus": "1.5", "--name": "box", "--label": LABEL,
        "--workdir": "/testbed", "--entrypoint": "bash",
    }  # fmt: skip
    assert {name: option(arguments, name) for name in wanted} == wanted
    assert arguments[-3:-1] == [TASK.image, "-c"] and "SECONDS -lt 21600" in arguments[-1]
    for forbidden in ("--privileged", "--volume", "-v", "--mount", "--env", "--device", "--pid", "--ipc"):
        assert forbidden not in arguments


def test_the_command_of_the_model_is_one_argument_and_never_part_of_ours():
    command = "echo '$(touch x)'; exit 3 # \"\n--network host"
    arguments = exec_arguments(TASK, "box", command, 12.3, CONFIG)
    assert arguments[-1] == command
    assert command not in " ".join(arguments[:-1])
    assert "timeout --kill-after=5 13 " in arguments[-3]
    assert arguments[:3] == ["podman", "exec", "--interactive"]
    assert "box" in arguments and option(arguments, "--workdir") == "/testbed"


@pytest.mark.parametrize("image", ["--privileged", "a b", "", "x;y", "-v"])
def test_a_name_that_is_no_image_is_refused(image):
    task = TASK.model_copy(update={"image": image})
    with pytest.raises(ValueError, match="not the name of an image"):
        run_arguments(task, "box", CONFIG)


def test_removal_is_by_name():
    assert remove_arguments("box", CONFIG) == ["podman", "rm", "--force", "box"]


def test_a_late_command_is_told_from_one_that_ends_with_the_same_status():
    late = CommandResult(ToolStatus.PROGRAM_ERROR, "x", 124, cost_s=10.2)
    assert limited(late, 10).status is ToolStatus.TIMEOUT and limited(late, 10).stopped == "wall"
    early = CommandResult(ToolStatus.PROGRAM_ERROR, "x", 124, cost_s=0.2)
    assert limited(early, 10) is early


def test_calls_keep_order_status_input_and_bounds():
    async def go() -> tuple[CommandResult, CommandResult, CommandResult]:
        both = await call(["bash", "-c", "cat; echo two >&2; exit 5"], b"one\n", 10)
        flood = await call(["yes"], b"", 30)
        late = await call(["sleep", "60"], b"x" * 1_000_000, 0.3)
        return both, flood, late

    begun = time.monotonic()
    both, flood, late = asyncio.run(go())
    assert (both.output, both.exit_code) == ("one\ntwo\n", 5)
    assert flood.stopped == "output" and len(flood.output) == 8 << 20
    assert (late.status, late.exit_code) == (ToolStatus.TIMEOUT, None)
    assert time.monotonic() - begun < 25


def test_without_an_engine_the_message_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxLost, match="cannot run podman.*custom.shell.engine"):
        asyncio.run(ContainerRuntime(CONFIG).open(TASK))
    with pytest.raises(SandboxLost, match="runtime=local"):
        asyncio.run(ContainerRuntime(CONFIG).open(TASK.model_copy(update={"image": ""})))


def engine(folder: Path, script: str) -> None:
    """A program named podman."""
    path = folder / "podman"
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_an_engine_that_fails_is_nobodys_failure_and_is_cleaned_up(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    engine(tmp_path, f'echo "$1" >> {tmp_path}/log; echo "no space left on device"; exit 125')
    with pytest.raises(SandboxLost, match="a__b-1: no space left on device"):
        asyncio.run(ContainerRuntime(CONFIG).open(TASK))
    assert (tmp_path / "log").read_text().split() == ["run", "rm"]


@pytest.mark.parametrize(("running", "lost"), [("true", False), ("false", True)])
def test_a_failed_command_is_the_models_unless_the_container_is_gone(monkeypatch, tmp_path, running, lost):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    engine(tmp_path, f"case $1 in exec) echo no; exit 125;; inspect) echo {running};; esac")

    async def go() -> CommandResult:
        sandbox = await ContainerRuntime(CONFIG).open(TASK)
        try:
            return await sandbox.run("x", 100)
        finally:
            await sandbox.close()

    if lost:
        with pytest.raises(SandboxLost, match="the container of task a__b-1 failed"):
            asyncio.run(go())
    else:
        assert asyncio.run(go()).exit_code == 125
