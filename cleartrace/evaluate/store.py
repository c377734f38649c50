"""The growing files of an evaluation: one line per finished rollout, appended at once, resumable after any death."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from cleartrace.data.growing import GrowingFolder, StoreError
from cleartrace.evaluate.outcome import RolloutOutcome

ROLLOUTS = "rollouts.jsonl"
TRAJECTORIES = "trajectories.jsonl"


class RolloutStore(GrowingFolder):
    """Outcomes in `rollouts.jsonl`, full records in `trajectories.jsonl`, and the settings both belong to.

    A killed process loses the rollouts in flight.

        with RolloutStore(folder, identity) as store:
            todo = [key for key in wanted if key not in store.done]
            store.append(outcome, record_json)
    """

    MANIFEST = "evaluation.json"
    FILES = (ROLLOUTS, TRAJECTORIES)

    def load(self) -> None:
        self.done = {outcome.key: outcome for outcome in read_outcomes(self.folder / ROLLOUTS)}

    def append(self, outcome: RolloutOutcome, record: str | None = None) -> None:
        """Write one rollout. Its record goes first, so that no outcome is ever without one."""
        if record is not None:
            self.lines[TRAJECTORIES].add(record)
        self.lines[ROLLOUTS].add(outcome.model_dump_json())
        self.done[outcome.key] = outcome


def read_outcomes(path: Path) -> Iterator[RolloutOutcome]:
    """Outcomes in file order; a later line of one key replaces an earlier one for the caller.

    Raises:
        StoreError: a whole line is no outcome.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield RolloutOutcome.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"])) or "line"
                raise StoreError(f"{path}, line {number}: {where}: {first['msg']}") from None
