"""Runs `code-judge` in a container with Docker's default settings, by runc, without Docker.

    python tests/code_judge/container_bundle.py VARIANT RESULTS COMMAND...

`RESULTS` is a directory that the container sees as /results. The root file system is an overlay over this machine's,
with this interpreter in /usr/local and code_judge among its modules, as in the image. What is written to it is kept in
memory and gone afterwards. Needs root, runc and the kernel's headers.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

import code_judge
from code_judge.sandbox import syscalls

sys.path.insert(0, str(Path(__file__).parent))
from docker_seccomp import HEADERS, default_profile  # noqa: E402

PYTHON = "/usr/local/bin/python3"
MODULES, RESULTS = "/opt/modules", "/results"
DOCKER_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Variant:
    """How a container differs from `docker run` without options."""

    uid: int = 0
    capabilities: tuple[str, ...] = DOCKER_CAPABILITIES
    no_new_privileges: bool = False
    read_only: bool = False
    """With a tmpfs at /tmp, as in compose.yaml."""
    extra_calls: tuple[str, ...] = ()
    """Beyond Docker's filter: `--security-opt seccomp=FILE`."""
    unconfined_paths: bool = False
    """`--security-opt systempaths=unconfined`."""
    writable_cgroups: bool = False
    """With `--cgroupns private`."""


_USER = Variant(uid=1000, capabilities=(), no_new_privileges=True, read_only=True)
_ADMIN = Variant(capabilities=(*DOCKER_CAPABILITIES, "CAP_SYS_ADMIN"))
_LEAST = tuple(f"CAP_{name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID"))
_NAMESPACE_CALLS = ("mount", "pivot_root", "umount2", "unshare")
VARIANTS = {
    "root": Variant(),
    "user": _USER,
    "least": replace(_USER, uid=0, capabilities=_LEAST),
    "admin": _ADMIN,
    "admin-calls": replace(_ADMIN, extra_calls=("pivot_root",)),
    "admin-calls-cgroups": replace(_ADMIN, extra_calls=("pivot_root",), writable_cgroups=True),
    "user-calls": replace(_USER, extra_calls=_NAMESPACE_CALLS),
    "user-calls-paths": replace(_USER, extra_calls=_NAMESPACE_CALLS, unconfined_paths=True),
}
"""The first two are what is promised; the others show what else holds, and what a higher level takes."""


def unavailable() -> str:
    """Why no container can be made here; '' when one can."""
    if os.geteuid() != 0:
        return "only root can make the bundle"
    if platform.machine() != "x86_64":
        return "the table of system calls is for x86_64"
    if shutil.which("runc") is None:
        return "runc is not installed (apt-get install runc)"
    if missing := [str(path) for path in HEADERS if not path.exists()]:
        return f"missing: {', '.join(missing)} (apt-get install linux-libc-dev)"
    if sys.base_prefix == "/usr":
        return "this interpreter is the system's; the bundle needs one that can be put into /usr/local"
    return ""


def _package() -> Path:
    return Path(code_judge.__file__).parent


def _modules() -> Path:
    """What code_judge imports, as installed for the interpreter of the tests."""
    return Path(typer.__file__).parents[1]


def _mount(kind: str, target: str, *options: str, source: str = "") -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source or kind, "options": list(options)}


def _mounts(variant: Variant, results: Path) -> list[dict[str, Any]]:
    quiet = ("nosuid", "noexec", "nodev")
    mounts = [
        _mount("proc", "/proc", *quiet),
        _mount("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _mount("sysfs", "/sys", *quiet, "ro"),
        _mount("cgroup", "/sys/fs/cgroup", *quiet, *(() if variant.writable_cgroups else ("ro",))),
        _mount("mqueue", "/dev/mqueue", *quiet),
        _mount("tmpfs", "/dev/shm", *quiet, "mode=1777", "size=65536k", source="shm"),
        _mount("bind", MODULES, "rbind", "ro", source=str(_modules())),
        _mount("bind", RESULTS, "rbind", "rw", source=str(results)),
    ]
    if variant.read_only:
        mounts.append(_mount("tmpfs", "/tmp", "nosuid", "nodev", "exec", "mode=1777", "size=1g"))
    return mounts


def spec(variant: Variant, command: list[str], results: Path, name: str) -> dict[str, Any]:
    """The OCI configuration."""
    held = list(variant.capabilities)
    # As Docker since 20.10.14: nothing inheritable; a user other than root starts with nothing but the bounding set.
    used = held if variant.uid == 0 else []
    namespaces = ["pid", "network", "ipc", "uts", "mount", *(["cgroup"] if variant.writable_cgroups else [])]
    linux = {
        "namespaces": [{"type": kind} for kind in namespaces],
        "maskedPaths": [] if variant.unconfined_paths else list(MASKED),
        "readonlyPaths": [] if variant.unconfined_paths else list(READ_ONLY),
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},  # runc adds the default ones
        "cgroupsPath": f"/{name}",
        "seccomp": default_profile(variant.capabilities, variant.extra_calls),
    }
    return {
        "ociVersion": "1.0.2",
        "hostname": "judge",
        "root": {"path": "rootfs", "readonly": variant.read_only},
        "mounts": _mounts(variant, results),
        "process": {
            "user": {"uid": variant.uid, "gid": variant.uid},
            "args": command,
            "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", f"PYTHONPATH={MODULES}"],
            "noNewPrivileges": variant.no_new_privileges,
            "capabilities": {"bounding": held, "permitted": used, "effective": used, "inheritable": []},
        },
        "linux": linux,
    }


def _install(root: Path) -> None:
    """This interpreter and code_judge below `root`/usr/local."""
    home, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = root / "usr/local"
    (target / "bin").mkdir(parents=True)
    shutil.copy(home / "bin" / version, target / "bin" / version)
    (target / "bin/python3").symlink_to(version)
    left_out = shutil.ignore_patterns("site-packages", "test", "idlelib", "config-*", "__pycache__")
    shutil.copytree(home / "lib" / version, target / "lib" / version, ignore=left_out)
    for library in (home / "lib").glob("libpython*.so*"):
        shutil.copy(library, target / "lib")
    shutil.copytree(_package(), target / "lib" / version / "site-packages/code_judge")


def _build(base: Path) -> None:
    """The root file system at `base`/rootfs. Its mounts end with this process, which has namespaces of its own."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", str(base), "tmpfs", 0, "mode=755,size=2g")
    upper, rootfs = base / "upper", base / "rootfs"
    for path in (upper, rootfs, base / "overlay", base / "runc"):
        path.mkdir()
    _install(upper)
    for place in (MODULES, RESULTS, "/tmp", "/root"):
        (upper / place.lstrip("/")).mkdir(parents=True)
    (upper / "tmp").chmod(0o1777)
    for name in ("tmp", "root"):
        os.setxattr(upper / name, "trusted.overlay.opaque", b"y")  # not what lies in this machine's
    syscalls.mount("overlay", str(rootfs), "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={base / 'overlay'}")
    subprocess.run(["ldconfig", "-r", str(rootfs)], check=True)  # finds libpython, as in the image


def run(variant: Variant, results: Path, command: list[str]) -> int:
    """Run a command in a new container until it ends; its exit status. Call once per process. Raises OSError."""
    name = f"cleartrace-judge-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="judge-bundle-") as place:
        base = Path(place)
        _build(base)
        try:
            results.mkdir(parents=True, exist_ok=True)
            os.chown(results, variant.uid, variant.uid)
            (base / "config.json").write_text(json.dumps(spec(variant, command, results, name)))
            runc = ["runc", "--root", str(base / "runc")]
            try:
                return subprocess.run([*runc, "run", "--bundle", str(base), name]).returncode
            finally:
                subprocess.run([*runc, "delete", "--force", name], stderr=subprocess.DEVNULL)
        finally:
            syscalls.detach(str(base / "rootfs"))
            syscalls.detach(str(base))


def main() -> None:
    name, results, *command = sys.argv[1:]
    if why := unavailable():
        sys.exit(why)
    if command[0] == "code-judge":
        command[:1] = [PYTHON, "-m", "code_judge"]
    sys.exit(run(VARIANTS[name], Path(results).resolve(), command))


if __name__ == "__main__":
    main()
