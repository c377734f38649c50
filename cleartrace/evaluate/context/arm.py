"""One way of giving context, measured: what was asked for, and every run that was made for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from cleartrace.data.errors import DataError
from cleartrace.data.files import whole_file
from cleartrace.episodes.types import Episode, Record, Task

MANIFEST = "manifest.json"


class Asked(Record):
    """A task that was asked for, whether or not a run of it exists."""

    id: str
    group: str

    @classmethod
    def of(cls, task: Task) -> Asked:
        """A task without a scenario is one of its own."""
        return cls(id=task.id, group=task.group or task.id)


class Manifest(Record):
    """What must agree between two arms for a comparison to be fair (A29), and what tells them apart.

    Args:
        agent: hash of model, decoding, prompts, limits and tools. `agent_settings`: the same to read.
        context: the provider as it was named on the command line; `context_hash`: its state.
        cap: tokens a context may have; None without a limit.
        seeds: one for each pass over the tasks.
    """

    schema_version: int = 1
    environment: str
    environment_options: dict[str, Any] = Field(default_factory=dict)
    split: str
    tasks: tuple[Asked, ...]
    agent: str
    agent_settings: dict[str, Any] = Field(default_factory=dict)
    context: str
    context_hash: str
    cap: int | None = None
    seeds: tuple[int, ...]

    def save(self, folder: Path) -> None:
        with whole_file(folder / MANIFEST) as partial:
            partial.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Raises `DataError`."""
        path = folder / MANIFEST
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(path, "there is no such file; `cleartrace context eval --out FOLDER` makes it") from None
        except ValidationError as error:
            raise DataError(path, f"not the manifest of an evaluation ({error.errors()[0]['msg']})") from None


@dataclass(frozen=True)
class Arm:
    """`episodes`: clean runs, at most one for each task and seed."""

    name: str
    manifest: Manifest
    episodes: tuple[Episode, ...]

    @classmethod
    def of(cls, name: str, manifest: Manifest, episodes: Sequence[Episode]) -> Arm:
        """Keeps the runs that were asked for; probe runs are none of them (R4).

        Raises:
            ValueError: two different runs of one task under one seed.
        """
        wanted = {(task.id, seed) for task in manifest.tasks for seed in manifest.seeds}
        found: dict[tuple[str, int], Episode] = {}
        for episode in episodes:
            key = (episode.task_id, episode.trajectory.seed)
            if episode.is_probe or key not in wanted:
                continue
            if key in found and found[key] != episode:
                raise ValueError(f"{name}: two runs of task {key[0]} under seed {key[1]}")
            found[key] = episode
        return cls(name, manifest, tuple(found.values()))

    def by_key(self) -> dict[tuple[str, int], Episode]:
        """(task id, seed) -> run."""
        return {(one.task_id, one.trajectory.seed): one for one in self.episodes}
