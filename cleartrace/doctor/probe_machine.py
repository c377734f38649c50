"""Looks at this machine: memory, disk, ports, files. Nothing is changed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

from cleartrace.data.files import file_sha256
from cleartrace.doctor.facts import PolicyFiles, Trial

POLICY = Path("dataset/quickstart/policy")
POLICY_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CGROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int:
    """Bytes a new program can use: the kernel's estimate, or what a container's limit leaves if that is less.

    A container's use counts the file cache, of which the kernel gives the inactive part back when it is needed.
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.M)
    free = int(found.group(1)) * 1024 if found else 0
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        cache = re.search(r"^inactive_file (\d+)$", _text(cgroup / "memory.stat"), re.M)
        busy = int(used.read_text()) - (int(cache.group(1)) if cache else 0)
        free = min(free, max(int(text) - busy, 0))
    return free


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def ray_folder() -> Path:
    """Where Ray keeps its session, and its objects when /dev/shm is full."""
    return Path(os.environ.get("RAY_TMPDIR") or "/tmp")


def free_space(folder: Path) -> int | None:
    """Free bytes where `folder` lies or would be made; None when there is no such place."""
    return shutil.disk_usage(folder).free if folder.exists() else None


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0))


def try_port(port: int | None) -> Trial:
    """Bind `port`, or any free one, on loopback, and let it go again."""
    with socket.socket() as listener:
        # A port in TIME_WAIT is usable by the services, which set this too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port or 0))
        except (OSError, OverflowError) as error:
            return Trial(False, f"cannot be used: {error}")
        return Trial(True, "free" if port else "free ports can be had")


def try_run_folder(root: Path) -> Trial:
    """Write a temporary file into runs/, or where runs/ would be made."""
    folder = root / "runs"
    place = folder if folder.exists() else root
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
    except OSError as error:
        return Trial(False, f"cannot write in {place}: {error.strerror}")
    return Trial(True, "writable" if place == folder else "can be made")


def look_at_policy(root: Path) -> PolicyFiles:
    """Which files are missing, and which differ from the SHA-256 that the card beside the policy names."""
    folder = root / POLICY
    missing = tuple(name for name in POLICY_FILES if not (folder / name).is_file())
    card = folder.parent / "CARD.md"
    if missing or not card.exists():
        return PolicyFiles(str(folder), missing)
    wanted = re.findall(r"SHA-256 of `([\w.]+)` \| `([0-9a-f]{64})`", card.read_text(encoding="utf-8"))
    if not wanted:
        return PolicyFiles(str(folder))
    differing = tuple(name for name, digest in wanted if file_sha256(folder / name) != digest)
    return PolicyFiles(str(folder), (), differing)
