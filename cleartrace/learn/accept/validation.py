"""As the one published script that validates: a playbook stays when it is strictly better than the best so far."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

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

    It is compared with the best on the tasks that the best was scored on. A task of which it lost a run counts as
    failed there; tasks that the best lost and it did not are run for the playbook in force. Memory: `scores`, by task,
    of the best so far. They were a lucky draw more often than not, which makes the bar too high: this is what was
    published, and `Paired` is what avoids it.

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
        best: dict[str, list[float]] = dict(case.memory.get("scores", {}))
        new, old = Side(candidate, bench), Side(case.current, bench)
        try:
            found = await new.by_task(self._draws(f"{seed}:validation:{case.iteration}"))
            lost = [one for one in self._draws(f"{seed}:validation:first") if one.task.id in found.keys() - best.keys()]
            best |= await old.by_task(lost)
        except BudgetExhausted as stop:
            verdict = self._verdict(case, False, Standing.BUDGET_SHORT, f"not judged, so not kept: {stop}")
            return Decision(playbook=case.current, verdicts=(verdict,), runs=new.runs + old.runs, memory=case.memory)
        verdict = self._judged(case, found, best)
        return Decision(
            playbook=candidate if verdict.kept else case.current,
            verdicts=(verdict,),
            runs=new.runs + old.runs,
            memory={"scores": found if verdict.kept else best},
        )

    def _draws(self, name: str) -> list[Draw]:
        stream = random.Random(name)
        return [Draw(task, stream.getrandbits(31)) for task in self.tasks for _ in range(self.repeats)]

    def _judged(self, case: Case, found: Mapping[str, list[float]], best: Mapping[str, list[float]]) -> Verdict:
        if not best:
            return self._verdict(case, False, Standing.NO_EFFECT_SHOWN, "not judged, so not kept: no run was scored")
        failed = [0.0] * self.repeats
        reached = value([score for task in best for score in found.get(task, failed)])
        bar = value([score for scores in best.values() for score in scores])
        kept = reached > bar
        reason = f"{reached:.4f} is {'above' if kept else 'not above'} the best so far, {bar:.4f}"
        if lost := len(best.keys() - found.keys()):
            reason += f"; {lost} of {len(best)} tasks were lost and count as failed"
        standing = Standing.UNTESTED if kept else Standing.NO_EFFECT_SHOWN
        return self._verdict(case, kept, standing, reason, reached - bar)

    def _verdict(self, case: Case, kept: bool, standing: Standing, reason: str, effect: float | None = None) -> Verdict:
        return Verdict(operations=case.operations, kept=kept, standing=standing, reason=reason, effect=effect)
