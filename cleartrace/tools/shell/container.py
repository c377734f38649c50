"""Shell sandboxes in containers, through the command line of docker or podman. No daemon library, no privilege.

The argument lists are pure functions. A container has no network, no capability, and limits on memory, processes and
processors; it sleeps, and ends by itself when its time is over, also when this process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import secrets
import time
from dataclasses import dataclass

from cleartrace.tools.shell.config import ShellConfig
from cleartrace.tools.shell.runtime import CommandResult, SandboxLost, status_of
from cleartrace.tools.shell.task import ShellTask

OUTPUT_BYTES = 8 << 20
LABEL = "cleartrace-shell"
LIFETIME_S = 6 * 3600
_GRACE_S = 15.0
_REMOVE_S = 60.0
_END_S = 5.0
_TIMED_OUT = frozenset({124, 137})
_IMAGE = re.compile(r"[A-Za-z0-9][\w.:/@-]*")
ENVIRONMENT = {
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "PIP_PROGRESS_BAR": "off",
    "TQDM_DISABLE": "1",
    "PYTHONHASHSEED": "0",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
# Images of SWE-bench, SWE-Gym and SWE-smith keep the repository's Python in a conda environment named testbed.
ACTIVATE = "if [ -f /opt/miniconda3/bin/activate ]; then . /opt/miniconda3/bin/activate testbed; fi"
# `kill -1` spares the container's first process and the shell that calls it, so nothing of a command outlives it.
_SWEEP = "code=$?; kill -9 -1 2>/dev/null; exit $code"
# The first process must reap what is killed, or dead processes fill the limit on processes. A sleep would not.
_FIRST = f"while [ $SECONDS -lt {LIFETIME_S} ]; do sleep 60; done"


def run_arguments(task: ShellTask, name: str, config: ShellConfig) -> list[str]:
    """Arguments that start the container of a task. Raises ValueError for a name that is no image's."""
    if not _IMAGE.fullmatch(task.image):
        raise ValueError(f"task {task.instance_id}: {task.image!r} is not the name of an image")
    memory = f"{config.memory_mb}m"
    return [
        config.engine.value, "run", "--detach", "--rm", "--name", name, "--label", LABEL,
        "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--memory", memory, "--memory-swap", memory, "--pids-limit", str(config.pids), "--cpus", f"{config.cpus:g}",
        "--ulimit", "core=0", "--ulimit", "nofile=4096:4096", "--workdir", task.workdir,
        "--entrypoint", "bash", task.image, "-c", _FIRST,
    ]  # fmt: skip


def exec_arguments(task: ShellTask, name: str, command: str, timeout_s: float, config: ShellConfig) -> list[str]:
    """Arguments that run one command in the container, within `timeout_s` seconds by the container's own clock."""
    environment = [part for key, value in ENVIRONMENT.items() for part in ("--env", f"{key}={value}")]
    inner = f'{ACTIVATE}; timeout --kill-after=5 {math.ceil(timeout_s)} bash -c "$1" bash; {_SWEEP}'
    return [
        config.engine.value, "exec", "--interactive", "--workdir", task.workdir, *environment,
        name, "bash", "-c", inner, "bash", command,
    ]  # fmt: skip


def remove_arguments(name: str, config: ShellConfig) -> list[str]:
    """Arguments that end and remove the container."""
    return [config.engine.value, "rm", "--force", name]


class ContainerRuntime:
    """Makes a container for each sandbox. Belongs to the running event loop."""

    def __init__(self, config: ShellConfig) -> None:
        self._config = config
        self._room = asyncio.Semaphore(config.at_once)

    async def open(self, task: ShellTask) -> ContainerSandbox:
        """Raises SandboxLost, with the engine's own words."""
        if not task.image:
            raise SandboxLost(f"task {task.instance_id} has no image: set custom.shell.runtime=local")
        await self._room.acquire()
        sandbox = ContainerSandbox(task, f"{LABEL}-{secrets.token_hex(8)}", self._config, self._room)
        try:
            done = await call(run_arguments(task, sandbox.name, self._config), b"", self._config.start_timeout_s)
            if done.exit_code != 0:
                raise SandboxLost(f"no container for task {task.instance_id}: {done.output.strip()[-600:]}")
        except BaseException:
            await sandbox.close()
            raise
        return sandbox


@dataclass
class ContainerSandbox:
    """One container with one repository."""

    task: ShellTask
    name: str
    config: ShellConfig
    room: asyncio.Semaphore
    _open: bool = True

    async def run(self, command: str, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        """Raises SandboxLost when the engine failed or the container is gone."""
        if not self._open:
            raise SandboxLost("the sandbox is closed")
        arguments = exec_arguments(self.task, self.name, command, timeout_s, self.config)
        done = await call(arguments, stdin, timeout_s + _GRACE_S)
        # No exit status tells: an engine that failed has 125, and so has a command that says so.
        if done.exit_code != 0 and not await self._alive():
            raise SandboxLost(f"the container of task {self.task.instance_id} failed: {done.output.strip()[-400:]}")
        return limited(done, timeout_s)

    async def _alive(self) -> bool:
        inspect = [self.config.engine.value, "inspect", "--format", "{{.State.Running}}", self.name]
        done = await call(inspect, b"", _REMOVE_S)
        return done.exit_code == 0 and done.output.strip() == "true"

    async def close(self) -> None:
        """Remove the container; what cannot be removed ends with its lifetime."""
        if not self._open:
            return
        self._open = False
        try:
            with contextlib.suppress(SandboxLost):
                await call(remove_arguments(self.name, self.config), b"", _REMOVE_S)
        finally:
            self.room.release()


def limited(done: CommandResult, timeout_s: float) -> CommandResult:
    """The same result with `timeout`'s exit status read for what it means."""
    if done.exit_code in _TIMED_OUT and done.cost_s >= timeout_s:
        return CommandResult(status_of(None, "wall"), done.output, stopped="wall", cut=done.cut, cost_s=done.cost_s)
    return done


async def call(arguments: list[str], stdin: bytes, timeout_s: float) -> CommandResult:
    """Run an engine's command line; at most OUTPUT_BYTES of its output are kept. Raises SandboxLost without engine."""
    started = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise SandboxLost(f"cannot run {arguments[0]}: {error}. Install it, or set custom.shell.engine.") from error
    kept = bytearray()
    stopped = ""
    try:
        stopped = await asyncio.wait_for(_talk(process, stdin, kept), timeout_s)
    except asyncio.TimeoutError:
        stopped = "wall"
    finally:
        await _end(process)
    code = None if stopped else process.returncode
    text = kept.decode("utf-8", "replace")
    return CommandResult(
        status_of(code, stopped), text, code, stopped=stopped, cut=bool(stopped), cost_s=time.monotonic() - started
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what still runs. asyncio tells its end only after its pipes were read to theirs."""
    assert process.stdin is not None and process.stdout is not None
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.stdin.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_drained(process.stdout), _END_S)
            await asyncio.wait_for(process.wait(), _END_S)


async def _drained(pipe: asyncio.StreamReader) -> None:
    while await pipe.read(1 << 16):
        pass


async def _talk(process: asyncio.subprocess.Process, stdin: bytes, kept: bytearray) -> str:
    """Write stdin, read output to its end or limit, wait; returns the limit that was reached, '' for none."""
    assert process.stdin is not None and process.stdout is not None
    writer = asyncio.ensure_future(_write(process.stdin, stdin))
    try:
        while data := await process.stdout.read(1 << 16):
            kept += data[: OUTPUT_BYTES - len(kept)]
            if len(kept) >= OUTPUT_BYTES:
                return "output"
        await process.wait()
        return ""
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)


async def _write(pipe: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(data)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()
