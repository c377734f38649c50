"""Many rollouts at once: what is left to do, how many run together, what becomes of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from cleartrace.evaluate.outcome import Arm, Key, RolloutOutcome, Status
from cleartrace.evaluate.questions import Question
from cleartrace.evaluate.store import RolloutStore
from cleartrace_verl.offline.loop import Rolled, Roller

# Neither is the model's doing, so both may be tried again without bending the result.
RETRIED = frozenset({Status.INFRA, Status.LOST, Status.UNGRADED})


@dataclass(frozen=True)
class Job:
    """One rollout to make."""

    question: Question
    arm: Arm
    rollout: int

    @property
    def key(self) -> Key:
        return self.question.sample_id, self.arm, self.rollout


def jobs_of(questions: Sequence[Question], arms: Sequence[Arm], n: int) -> list[Job]:
    """All rollouts of a run; those of one question stand together, so that the engine reuses its prompt."""
    return [Job(question, arm, i) for question in questions for i in range(n) for arm in arms]


def left_to_do(jobs: Iterable[Job], done: dict[Key, RolloutOutcome], *, retry_lost: bool) -> list[Job]:
    """Jobs without an outcome, and with `retry_lost` those whose outcome is nobody's fault but the machinery's."""
    return [job for job in jobs if job.key not in done or (retry_lost and done[job.key].status in RETRIED)]


async def run_jobs(
    roller: Roller,
    jobs: Sequence[Job],
    store: RolloutStore,
    *,
    concurrency: int,
    infra_retries: int,
    keep_records: bool,
    on_done: Callable[[RolloutOutcome], None],
) -> None:
    """Make all rollouts, `concurrency` at a time, and store each as it ends.

    Raises what `Roller.roll` lets through; the other rollouts in flight are cancelled then, and those stored stay.
    """
    queue = iter(jobs)

    async def work() -> None:
        for job in queue:
            rolled = await _roll(roller, job, infra_retries)
            record = rolled.record.model_dump_json() if rolled.record and keep_records else None
            store.append(rolled.outcome, record)
            on_done(rolled.outcome)

    await _gather_or_cancel(work() for _ in range(min(concurrency, len(jobs))))


async def _roll(roller: Roller, job: Job, infra_retries: int) -> Rolled:
    tries = 1
    rolled = await roller.roll(job.question, job.arm, job.rollout)
    while rolled.outcome.status in RETRIED and tries <= infra_retries:
        rolled = await roller.roll(job.question, job.arm, job.rollout)
        tries += 1
    return Rolled(rolled.outcome.model_copy(update={"tries": tries}), rolled.record)


async def _gather_or_cancel(workers: Iterator) -> None:
    tasks = [asyncio.ensure_future(worker) for worker in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
