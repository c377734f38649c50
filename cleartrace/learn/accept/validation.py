"""As the one published script that validates: a playbook stays when it is strictly better than the best so far."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import PASS, Task
from cleartrace.learn.accept.protocol import Bench, Case, Decision, Draw, Standing, Verdict
from cleartrace.learn.accept.side import Side
from cleartrace.llm.protocol import BudgetExhausted

MEAN_WEIGHT, PASS_WEIGHT = 0.7, 0.3
"""Published weights of mean score and share of full passes."""


def value(scores: Sequence[float]) -> float:
    """0.7 x mean score + 0.3 x share of full passes.

    Example:
        >>> round(value([1.0, 0.5]), 3)
        0.675
    """
    return MEAN_WEIGHT * fmean(scores) + PASS_WEIGHT * fmean([float(one >= PASS) for one in scores])


@dataclass(frozen=True)
class Validation:
    """Judges all edits of a proposal together, on fresh runs of the validation tasks.

    Memory: `best`, the best value so far. It was a lucky draw more often than not, which makes the bar too high: this
    is what was published, and `Paired` is what avoids it.

    Args:
        tasks: validation tasks, none of them a train task.
        repeats: runs of each.
    """

    tasks: tuple[Task, ...]
    repeats: int = 1
    name: str = "validation"

    def __post_init__(self) -> None:
        if not self.tasks or self.repeats < 1:
            raise ValueError("validation needs tasks and at least one run of each")

    async def decide(self, case: Case, bench: Bench, seed: int) -> Decision:
        candidate = bench.apply(case.current, case.operations)
        if candidate == case.current:
            return Decision(playbook=case.current, memory=case.memory)
        runs, best = 0, case.memory.get("best")
        try:
            if best is None:
                best, n = await self._value(case.current, bench, f"{seed}:validation:first")
                runs += n
            found, n = await self._value(candidate, bench, f"{seed}:validation:{case.iteration}")
        except BudgetExhausted as stop:
            return self._decision(case, case.current, Standing.BUDGET_SHORT, f"not judged, so not kept: {stop}", runs)
        kept = found > best
        reason = f"{found:.4f} is {'above' if kept else 'not above'} the best so far, {best:.4f}"
        standing = Standing.UNTESTED if kept else Standing.NO_EFFECT_SHOWN
        playbook = candidate if kept else case.current
        return self._decision(case, playbook, standing, reason, runs + n, max(found, best), found - best)

    async def _value(self, playbook: Playbook, bench: Bench, name: str) -> tuple[float, int]:
        """Runs that nobody's model is to blame for are left out; with none left the value is 0."""
        stream = random.Random(name)
        draws = [Draw(task, stream.getrandbits(31)) for task in self.tasks for _ in range(self.repeats)]
        side = Side(playbook, bench)
        scores = [score for score in await side.scores(draws) if score is not None]
        return (value(scores) if scores else 0.0), side.runs

    def _decision(
        self,
        case: Case,
        playbook: Playbook,
        standing: Standing,
        reason: str,
        runs: int,
        best: float | None = None,
        effect: float | None = None,
    ) -> Decision:
        verdict = Verdict(
            operations=case.operations,
            kept=playbook is not case.current,
            standing=standing,
            reason=reason,
            effect=effect,
        )
        memory = case.memory if best is None else {"best": best}
        return Decision(playbook=playbook, verdicts=(verdict,), runs=runs, memory=memory)
