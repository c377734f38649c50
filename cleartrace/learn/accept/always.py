"""Published: an edit that can be applied is in force."""

from __future__ import annotations

from dataclasses import dataclass

from cleartrace.learn.accept.protocol import Bench, Case, Decision, Standing, Verdict


@dataclass(frozen=True)
class Always:
    """Keeps everything and measures nothing."""

    name: str = "always"

    async def decide(self, case: Case, bench: Bench, seed: int) -> Decision:
        del seed
        current, verdicts = case.current, []
        for one in case.operations:
            edited = bench.apply(current, (one,))
            kept = edited != current
            reason = "kept unseen" if kept else "the edit changes nothing, or was refused"
            verdicts.append(Verdict(operations=(one,), kept=kept, standing=Standing.UNTESTED, reason=reason))
            current = edited
        return Decision(playbook=current, verdicts=tuple(verdicts), memory=case.memory)
