"""Compiled programs of one host by the hash of what they were made from; bounded in bytes, least recently used out."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BuildCache:
    """`directory` is private to the workers. Safe when several processes use it."""

    directory: Path
    max_bytes: int = 512 << 20

    def get(self, key: str) -> bytes | None:
        path = self.directory / key
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Raises OSError."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.directory, delete=False) as file:
            file.write(data)
        os.replace(file.name, self.directory / key)
        self._shrink()

    def _shrink(self) -> None:
        rows = []
        for entry in os.scandir(self.directory):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                facts = entry.stat()
                rows.append((facts.st_mtime, facts.st_size, entry.path))
        total = sum(size for _, size, _ in rows)
        for _, size, path in sorted(rows):
            if total <= self.max_bytes:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
