"""What an attack may do at most. Each returns a check: '' when it was held, else what got out."""

from __future__ import annotations

from code_judge.attack.model import Check, Scene
from code_judge.executor import MAX_FETCHED
from code_judge.jobs import Outcome
from code_judge.sandbox.host import DISK_MB, INODES
from code_judge.sandbox.levels import Level
from code_judge.sandbox.slot import ADDRESS_SPACE_ALLOWANCE

_MB = 1 << 20
_WATCHED_MB = 384
"""What may be added between two looks at a slot, where the kernel has no limit for all its processes together."""
_FILE_MB = 64
_ADMITTED_AFTER_S = 1.0


def outcome(*allowed: Outcome, detail: str = "") -> Check:
    """The verdict on the last step."""

    def check(scene: Scene) -> str:
        said = scene.last
        if said.outcome in allowed and (not detail or said.detail == detail):
            return ""
        return f"verdict {said.outcome.value} ({said.detail or '-'}): {said.stderr[-160:]!r}"

    return check


def slot_kept(scene: Scene) -> str:
    """The slot's interpreter goes on."""
    return "" if scene.slot_kept else "the slot was ended"


def cpu_stopped(scene: Scene) -> str:
    """CPU time ends near its limit."""
    used, limit = scene.last.cpu_s, scene.limits.cpu_s
    return "" if used <= limit + _ADMITTED_AFTER_S else f"{used:.2f} s of CPU with a limit of {limit} s"


def forgotten_cpu(scene: Scene) -> str:
    """CPU time that no process accounts for: what two cores can do in the time that passed is its bound."""
    passed, limit = scene.last.wall_s, scene.limits.cpu_s
    return "" if passed <= 4 * limit + _ADMITTED_AFTER_S else f"{passed:.1f} s of work with a CPU limit of {limit} s"


def answered_within(seconds: float) -> Check:
    """The answer does not wait for what the run left."""

    def check(scene: Scene) -> str:
        return "" if scene.elapsed_s <= seconds else f"the answer took {scene.elapsed_s:.1f} s"

    return check


def wall_stopped(scene: Scene) -> str:
    """Time ends near its limit."""
    limit = scene.limits.wall_s
    return "" if scene.last.wall_s <= limit + _ADMITTED_AFTER_S else f"{scene.last.wall_s:.1f} s of {limit} s"


def memory_held(scene: Scene) -> str:
    """Of all processes of the run together."""
    slack = 64 if scene.level is Level.L3 else _WATCHED_MB
    held, limit = scene.peaks.memory // _MB, scene.limits.memory_mb
    return "" if held <= limit + slack else f"{held} MB were held, with a limit of {limit} MB"


def processes_held(scene: Scene) -> str:
    """Processes at a time; where the watcher counts, some more are made before it looks."""
    seen, limit = scene.peaks.processes, scene.limits.processes
    return "" if seen <= 3 * limit else f"{seen} processes, with a limit of {limit}"


def threads_held(scene: Scene) -> str:
    """Threads at a time."""
    seen = scene.peaks.threads
    return "" if seen <= 1024 else f"{seen} threads, with a limit of {scene.limits.processes} processes"


def disk_held(scene: Scene) -> str:
    """Bytes of all files together."""
    most = DISK_MB + (1 if scene.level.has_namespaces else 256)
    seen = scene.peaks.disk // _MB
    return "" if seen <= most else f"{seen} MB of files"


def file_size_held(scene: Scene) -> str:
    """Bytes of one file."""
    seen = scene.peaks.biggest_file // _MB
    return "" if seen <= _FILE_MB else f"a file of {seen} MB"


def entries_held(scene: Scene) -> str:
    """Number of files."""
    seen = scene.peaks.files
    return "" if seen <= INODES * (1 if scene.level.has_namespaces else 3) else f"{seen} files"


def supervisor_small(scene: Scene) -> str:
    """Output is not collected beyond its cap."""
    seen = scene.peaks.supervisor_growth // _MB
    return "" if seen <= 48 else f"the supervisor grew by {seen} MB"


def output_kept_short(scene: Scene) -> str:
    """What is sent back of both streams."""
    most = scene.limits.output_bytes
    kept = max(len(scene.last.stdout), len(scene.last.stderr))
    return "" if kept <= most else f"{kept} bytes of output were kept"


def limits_kept(scene: Scene) -> str:
    """Hard limits of the run's processes, as the kernel shows them."""
    highest = {
        "Max address space": scene.limits.memory_mb * _MB + ADDRESS_SPACE_ALLOWANCE,
        "Max cpu time": scene.limits.cpu_s + 2,
        "Max file size": _FILE_MB * _MB,
        "Max open files": 256,
    }
    for held in scene.peaks.hard_limits.values():
        for name, most in highest.items():
            if held.get(name, 0) > most:
                return f"{name.lower()} was raised to {held[name]:.0f}"
    return ""


def nothing_strange(scene: Scene) -> str:
    """No namespace, io_uring or tracer of its own making."""
    return ", ".join(sorted(scene.peaks.strange))


def no_host_file(scene: Scene) -> str:
    """The programs print SHA-256 digests of what they could read."""
    known = {digest: path for path, digest in scene.digests.items()}
    found = {known[word] for word in scene.last.stdout.split() if word in known}
    return f"it read {', '.join(sorted(found))}" if found else ""


def size_unknown(scene: Scene) -> str:
    """The programs print what `stat` says of the secret file."""
    return "it knows a file's size" if f"SIZE {scene.secret_size}" in scene.last.stdout.splitlines() else ""


def mark_unknown(scene: Scene) -> str:
    """What the first step was told did not reach the last."""
    return "a run found what another left" if scene.mark in scene.last.stdout else ""


def files_few(scene: Scene) -> str:
    """Base64 of all fetched files together."""
    size = sum(map(len, scene.last.files.values()))
    return "" if size <= MAX_FETCHED * 4 // 3 + 64 else f"{size} bytes of files were fetched"
