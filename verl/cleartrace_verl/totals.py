"""What a run has added up since its first step; stored with each checkpoint, so that a resumed run goes on counting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cleartrace.data.files import write_json
from cleartrace.purify.counters import TrajectoryCounters


@dataclass(frozen=True)
class Totals:
    """Sums over all training rollouts."""

    generated_tokens: int = 0
    """All sampled tokens, discarded ones included (D28)."""
    first_attempts: int = 0
    first_successes: int = 0

    def plus(self, counters: Sequence[TrajectoryCounters]) -> Totals:
        """The sums after one more step."""
        return Totals(
            self.generated_tokens + sum(c.generated_tokens for c in counters),
            self.first_attempts + sum(c.first_attempts for c in counters),
            self.first_successes + sum(c.first_successes for c in counters),
        )

    def metrics(self) -> dict[str, float]:
        """Logged at every step; the rate is left out until a call was made."""
        rate = {}
        if self.first_attempts:
            rate["tool_calls/global_success_rate"] = self.first_successes / self.first_attempts
        return {"cleartrace/generated_tokens_cum": self.generated_tokens, **rate}

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Totals:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))
