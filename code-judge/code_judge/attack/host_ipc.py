"""Baits of System V IPC, as another service may have them. Everybody on the host may use them, but no run."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.shmat.restype = ctypes.c_void_p
_LIBC.shmdt.argtypes = [ctypes.c_void_p]
_MODE = 0o1000 | 0o666  # IPC_CREAT
_SIZE = 4096
_REMOVE, _GET_VALUE, _SET_VALUE = 0, 12, 16
_VALUE = 1
_QUEUED = "qnum"


class HostIpc:
    """`ids` by kind: shared memory and a message queue that hold a secret, and a semaphore. Empty where there can be
    none.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.ids: dict[str, int] = {}
        self.make()

    def make(self) -> None:
        """As at the start, in place of what is there."""
        self.remove()
        made = {"shm": _LIBC.shmget(0, _SIZE, _MODE), "msg": _LIBC.msgget(0, _MODE), "sem": _LIBC.semget(0, 1, _MODE)}
        self.ids = {kind: number for kind, number in made.items() if number >= 0}
        if len(self.ids) < len(made):
            self.remove()
            return
        self._memory(self._secret)
        message = ctypes.create_string_buffer(bytes(ctypes.c_long(1)) + self._secret)
        sent = _LIBC.msgsnd(self.ids["msg"], message, len(self._secret), 0)
        if sent != 0 or _LIBC.semctl(self.ids["sem"], 0, _SET_VALUE, _VALUE) != 0:
            raise OSError(ctypes.get_errno(), f"System V IPC: {os.strerror(ctypes.get_errno())}")

    def remove(self) -> None:
        for kind, control in (("shm", _LIBC.shmctl), ("msg", _LIBC.msgctl)):
            if kind in self.ids:
                control(self.ids[kind], _REMOVE, None)
        if "sem" in self.ids:
            _LIBC.semctl(self.ids["sem"], 0, _REMOVE)
        self.ids = {}

    def harm(self) -> list[str]:
        """What happened to them."""
        if not self.ids:
            return []
        rows = {kind: _row(kind, number) for kind, number in self.ids.items()}
        found = [f"System V object outside was removed: {kind}" for kind, row in rows.items() if not row]
        if rows["shm"] and self._memory() != self._secret:
            found.append("shared memory outside was changed")
        if rows["msg"] and rows["msg"][_QUEUED] != "1":
            found.append("a message queue outside was changed")
        if rows["sem"] and _LIBC.semctl(self.ids["sem"], 0, _GET_VALUE) != _VALUE:
            found.append("a semaphore outside was changed")
        return found

    def _memory(self, text: bytes = b"") -> bytes:
        """The start of the shared memory, after `text` was written there."""
        where = _LIBC.shmat(self.ids["shm"], None, 0)
        if where in (None, ctypes.c_void_p(-1).value):
            return b""
        try:
            ctypes.memmove(where, text, len(text))
            return ctypes.string_at(where, len(self._secret))
        finally:
            _LIBC.shmdt(where)


def _row(kind: str, number: int) -> dict[str, str]:
    """What the kernel tells of an object; empty when it is gone."""
    head, *rows = [line.split() for line in Path("/proc/sysvipc", kind).read_text().splitlines()]
    named = (dict(zip(head, row, strict=False)) for row in rows)
    return next((row for row in named if row[f"{'msq' if kind == 'msg' else kind}id"] == str(number)), {})
