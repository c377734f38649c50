"""What a killed service left is removed by the next one, and nothing else is. J29."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from code_judge import leftovers
from code_judge.sandbox.cgroups import CgroupHome


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of a short name that services take for the temporary one."""
    with tempfile.TemporaryDirectory(prefix="jt-", dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


def start(temporary: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """A service that is ready, and its run directory."""
    known, port = set(temporary.glob("code-judge-*")), temporary / "port"
    port.unlink(missing_ok=True)
    command = [sys.executable, "-m", "code_judge", "serve", "--port", "0", "--workers", "1", "--port-file", str(port)]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 60
    while not port.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    (run_dir,) = set(temporary.glob("code-judge-*")) - known
    while not list(run_dir.glob("judge-*/slot-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process, run_dir


def end(process: subprocess.Popen[bytes], number: int) -> None:
    """End a service and wait for its whole family."""
    family = psutil.Process(process.pid).children(recursive=True)
    if number == signal.SIGKILL:
        process.send_signal(signal.SIGSTOP)  # it would replace its workers
        for child in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.send_signal(number)
    process.wait(30)
    assert not psutil.wait_procs(family, timeout=30)[1]


def age(run_dir: Path) -> None:
    os.utime(run_dir / leftovers.LOCK, (0, 0))


def test_the_next_service_removes_what_a_killed_one_left(temporary: Path) -> None:
    killed, left = start(temporary)
    living, used = start(temporary)
    assert left.exists()  # its service lives
    end(killed, signal.SIGKILL)
    assert list(left.glob("judge-*/slot-*"))
    age(left)
    age(used)
    last, own = start(temporary)
    try:
        assert not left.exists()
        assert list(used.glob("judge-*/slot-*"))
    finally:
        for process in (last, living):
            end(process, signal.SIGTERM)
    assert not own.exists() and not used.exists()


def make(path: Path, lock: bool = True) -> Path:
    path.mkdir()
    (path / "kept").write_text("")
    if lock:
        os.close(leftovers.take(path))
        age(path)
    return path


def test_only_unused_old_directories_of_this_user_are_removed(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside")
    (tmp_path / "code-judge-link").symlink_to(outside)
    unlocked = make(tmp_path / "code-judge-unlocked", lock=False)
    linked = make(tmp_path / "code-judge-linked", lock=False)
    (linked / leftovers.LOCK).symlink_to(outside / leftovers.LOCK)
    young = make(tmp_path / "code-judge-young")
    os.utime(young / leftovers.LOCK)
    used = make(tmp_path / "code-judge-used")
    held = leftovers.take(used)
    age(used)
    others = make(tmp_path / "code-judge-others")
    if os.geteuid() == 0:
        os.chown(others, 12345, 12345)
    left = make(tmp_path / "code-judge-left")
    (left / "elsewhere").symlink_to(outside)
    leftovers.sweep(tmp_path)
    assert not left.exists()
    assert all((path / "kept").exists() for path in (outside, unlocked, linked, young, used))
    assert others.exists() == (os.geteuid() == 0)
    os.close(held)
    leftovers.sweep(tmp_path)
    assert not used.exists()


def test_groups_of_ended_workers_are_removed() -> None:
    home = CgroupHome.find()
    if home is None:
        pytest.skip("no cgroup can be made here")
    with subprocess.Popen(["true"]) as gone:
        pass
    ended, living = home.make(f"code-judge-{gone.pid}-0"), home.make(f"code-judge-{os.getpid()}-0")
    try:
        home.sweep_ended(60)
        assert ended.memory.exists()  # made just now
        home.sweep_ended(-1)
        assert not ended.memory.exists() and not ended.pids.exists()
        assert living.memory.exists()
    finally:
        for group in (ended, living):
            group.remove()
