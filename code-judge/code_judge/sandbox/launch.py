"""Starts the warm interpreter of one slot inside its confinement.

Run as a program of its own (`python -m code_judge.sandbox.launch CONFIG`) with a socket at descriptor 3 and the
run's output pipes at 1 and 2. It leaves the namespaces, forks, tells the child's process id and ends; the child
confines itself and becomes the interpreter. The confinement is entered before any interpreter of a run exists.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from code_judge.sandbox import private_root, seccomp, syscalls
from code_judge.sandbox.landlock import Paths, restrict_paths
from code_judge.sandbox.levels import Level

_KEPT_CAPABILITIES = {0, 1, 3, 5, 6, 7}  # CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID
_LAST_CAPABILITY = 63
INNER_UID = 1000
ADDRESS_SPACE_CAP = 64 << 30
_ZYGOTE = Path(__file__).with_name("zygote.py").read_text()  # read before the file is out of reach


@dataclass(frozen=True)
class SlotConfig:
    """All that a slot is started with. Paths are absolute."""

    level: str
    python: str
    trees: list[str]
    """What the interpreter needs, beside the system's trees."""
    hidden: list[str]
    """Covered or left out: this package itself."""
    stage: str
    """A private directory: mount point of the root, or at L0 and L1 parent of the work directory."""
    zygote: dict[str, Any]
    uid: int | None
    user_namespace: bool
    groups: list[str]
    environment: dict[str, str]
    disk_mb: int
    inodes: int

    def dumps(self) -> str:
        return json.dumps(asdict(self))


def _identity_map(uid: int, gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{INNER_UID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{INNER_UID} {gid} 1")


def _leave_namespaces(config: SlotConfig) -> None:
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    if config.user_namespace:
        if config.uid is not None:  # root without the right to make namespaces: not even the number 0 goes inside
            os.setgroups([])
            os.setresgid(config.uid, config.uid, config.uid)
            os.setresuid(config.uid, config.uid, config.uid)
            syscalls.set_dumpable()
        uid, gid = os.geteuid(), os.getegid()
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        _identity_map(uid, gid)
    syscalls.unshare(flags | syscalls.CLONE_NEWPID)


@dataclass(frozen=True)
class Visible:
    """`whole` trees, and directories of which only the names are seen: those above a hidden path."""

    whole: tuple[Path, ...]
    listed: tuple[Path, ...]


def visible(trees: Iterable[Path], hidden: Iterable[Path]) -> Visible:
    """What to allow where nothing can be covered: a tree with a hidden part is allowed by its entries.

    Names stay visible there, since an interpreter lists the directories that it imports from.
    """
    hidden_paths = {path.resolve() for path in hidden}
    # Rules hold for what a path leads to, so links are followed before they are compared with what is hidden.
    todo, whole, listed = [tree.resolve() for tree in trees], [], []
    while todo:
        tree = todo.pop()
        if tree in whole or tree in listed or any(tree.is_relative_to(path) for path in hidden_paths):
            continue
        if any(path.is_relative_to(tree) for path in hidden_paths):
            listed.append(tree)
            # What a link leads to is judged by its own place: `lib64 -> lib` would open all that `lib` hides.
            todo += [entry for entry in tree.iterdir() if not entry.is_symlink()]
        else:
            whole.append(tree)
    return Visible(tuple(whole), tuple(listed))


def _confine_paths(config: SlotConfig) -> None:
    # Not their parent: a run that owns it could put files beside its directories, or move them.
    write = tuple(Path(place) for place in (config.zygote["work"], *config.zygote["scratch"]))
    if Level.parse(config.level).has_namespaces:
        restrict_paths(Paths(read=(Path("/"),), write=write))
        return
    etc = [Path("/etc") / name for name in private_root.ETC_ENTRIES]
    trees = [*private_root.SYSTEM_TREES, *map(Path, config.trees)]
    seen = visible(trees, map(Path, config.hidden))
    restrict_paths(Paths(read=(*etc, *seen.whole, Path(config.stage)), listed=seen.listed, write=write))


def _drop_capabilities() -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _KEPT_CAPABILITIES:
            try:
                syscalls.drop_bounding(capability)
            except OSError:
                if capability < 32:  # every kernel has those; higher ones may not exist
                    raise


def _become_slot(config: SlotConfig) -> None:
    level = Level.parse(config.level)
    if level.has_namespaces:
        trees = [Path(tree) for tree in config.trees]
        hidden = [Path(path) for path in config.hidden]
        uid = INNER_UID if config.user_namespace else config.uid
        assert uid is not None
        private_root.enter(Path(config.stage), trees, hidden, uid, config.disk_mb, config.inodes)
    else:
        os.chdir(config.zygote["work"])
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    space = ADDRESS_SPACE_CAP if hard == resource.RLIM_INFINITY else min(hard, ADDRESS_SPACE_CAP)
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    if config.uid is not None and not config.user_namespace:
        _drop_capabilities()
    syscalls.no_new_privs()
    if level >= Level.L1:
        _confine_paths(config)
        syscalls.install_filter(seccomp.build_filter(allow_memfd=level is Level.L3))
    argv = [config.python, "-B", "-c", _ZYGOTE, repr(config.zygote)]
    os.execve(config.python, argv, config.environment)


def main() -> None:
    config = SlotConfig(**json.loads(sys.argv[1]))
    control = socket.socket(fileno=3)
    os.set_inheritable(3, True)
    try:
        for entry in config.groups:
            Path(entry).write_text("0")
        if Level.parse(config.level).has_namespaces:
            _leave_namespaces(config)
        pid = os.fork()
    except OSError as error:
        control.send(f"error {error}".encode())
        os._exit(1)
    if pid == 0:
        try:
            _become_slot(config)
        except BaseException as error:
            control.send(f"error {type(error).__name__}: {error}".encode())
            os._exit(1)
    control.send(f"pid {pid}".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
