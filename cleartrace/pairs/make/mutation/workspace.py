"""An isolated copy of a package under git, and commands in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTBED = "/testbed"
COMMAND_S = 30.0
OBSERVER = Path(__file__).with_name("observe.py")
_SECONDS = re.compile(r"\bin \d+\.\d+s\b")


@dataclass(frozen=True)
class Ran:
    """What an agent is shown of a command: its exit status, and both streams together."""

    status: int
    output: str


class Workspace:
    """A temporary folder with a copy of `package` (Python files, no tests) and the files of `extra`, committed.

    Commands get a clean environment: no variables of the caller but the interpreter's own folder on the path, a home of
    their own, fixed dates. Paths of this machine are rewritten in what they print, and so are durations, so that a seed
    gives the same bytes anywhere with the same Python. The code is a mutation of an installed package and is not
    treated as hostile: there is a time limit, and no sandbox.
    """

    def __init__(self, package: Path, extra: dict[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mutation-")
        self.root = Path(self._folder.name).resolve() / "repo"
        self._home = self.root.parent / "home"
        self._home.mkdir()
        ignored = shutil.ignore_patterns("__pycache__", "tests", "test", "*.so", "*.pyc", "*.pyi")
        if package.is_dir():
            shutil.copytree(package, self.root / package.name, ignore=ignored)
        else:
            self.root.mkdir()
            shutil.copy(package, self.root / package.name)
        for name, text in extra.items():
            self.write(name, text)
        self.git("init", "-q")
        self.commit("base")
        self.base = self.git("rev-parse", "HEAD").strip()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._folder.cleanup()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        fixed = "2025-01-01T00:00:00+0000"
        git = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
               (("NAME", "agent"), ("EMAIL", "agent@localhost"), ("DATE", fixed))}  # fmt: skip
        return {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
            "HOME": str(self._home),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **git,
        }

    def git(self, *arguments: str) -> str:
        """Raises: RuntimeError with git's own words."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=COMMAND_S
        )
        if done.returncode:
            raise RuntimeError(f"git {' '.join(arguments)} failed in a workspace: {done.stderr.strip()}")
        return done.stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def reset(self) -> None:
        self.git("reset", "-q", "--hard", self.base)
        self.git("clean", "-q", "-fdx")

    def run(self, command: str, timeout_s: float = COMMAND_S) -> Ran:
        """A shell command, as an agent gives it. A timeout is a status of 124, as `timeout` has it."""
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Ran(124, f"no end after {timeout_s:g} s")
        return Ran(process.returncode, self._neutral(output.decode("utf-8", "replace")))

    def _neutral(self, output: str) -> str:
        for path, name in ((self.root, TESTBED), (sys.prefix, "/opt/env"), (sys.base_prefix, "/opt/python")):
            output = output.replace(str(path), name)
        return _SECONDS.sub("in 0.001s", output)

    def observe(self, module: str, calls: Sequence[Sequence[str]], timeout_s: float = 20.0) -> list[str | None]:
        """Results of calls (see observe.py), shorter than `calls` where the process died on the way."""
        request = json.dumps({"module": module, "calls": calls, "cpu_s": timeout_s})
        try:
            done = subprocess.run(
                [sys.executable, "-s", str(OBSERVER)],
                cwd=self.root,
                env=self.environment,
                input=request,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
            printed = done.stdout
        except subprocess.TimeoutExpired as late:
            printed = (late.stdout or b"").decode("utf-8", "replace") if isinstance(late.stdout, bytes) else ""
        return [json.loads(line) for line in printed.splitlines() if line]


class Copies:
    """Workspaces that are lent and taken back clean: a package is copied once per thread and not per function."""

    def __init__(self) -> None:
        self._idle: dict[Path, list[Workspace]] = {}
        self._all: list[Workspace] = []

    @contextmanager
    def borrowed(self, package: Path) -> Iterator[Workspace]:
        """A clean workspace of the package, for one thread at a time. (Appending and popping a list is atomic.)"""
        idle = self._idle.setdefault(package, [])
        try:
            workspace = idle.pop()
        except IndexError:
            workspace = Workspace(package, {})
            self._all.append(workspace)
        try:
            yield workspace
        finally:
            workspace.reset()
            idle.append(workspace)

    def __enter__(self) -> Copies:
        return self

    def __exit__(self, *_: object) -> None:
        for workspace in self._all:
            workspace.close()
