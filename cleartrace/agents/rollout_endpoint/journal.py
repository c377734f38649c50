"""Invocations that were accepted and have no result yet, so that a new start of the endpoint goes on with them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cleartrace.agents.rollout_endpoint.types import Place
from cleartrace.data.files import whole_file


class Journal:
    """A folder with a file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, place: Place, session: str, payload: dict[str, Any]) -> None:
        with whole_file(self._path(place)) as partial:
            partial.write_text(json.dumps({"session": session, "payload": payload}), encoding="utf-8")

    def close(self, place: Place) -> None:
        self._path(place).unlink(missing_ok=True)

    def left(self) -> list[tuple[str, dict[str, Any]]]:
        """(session, payload), in the order of their acceptance."""
        paths = sorted(self._folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return [(one["session"], one["payload"]) for one in found]

    def _path(self, place: Place) -> Path:
        name = hashlib.sha256(f"{place.s3_bucket}/{place.result_key}".encode()).hexdigest()
        return self._folder / f"{name}.json"
