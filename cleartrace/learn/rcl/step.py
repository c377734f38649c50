"""One iteration: sample, run, validate, select, reflect, count, edit, judge, remember. From a state to the next one.

Nothing is committed here: whoever calls keeps the state returned, so an iteration that breaks leaves no mark (R26).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.episodes.types import Episode
from cleartrace.learn.rcl.best import challenged
from cleartrace.learn.rcl.groups import Group
from cleartrace.learn.rcl.iteration import Iteration, Learned, Ran
from cleartrace.learn.rcl.learning import learn, remember
from cleartrace.learn.rcl.replay import record
from cleartrace.learn.rcl.rows import record_of, row_of
from cleartrace.learn.rcl.runs import run_batch, scored, validate
from cleartrace.learn.rcl.sampler import draw, next_chunk
from cleartrace.learn.rcl.select import select
from cleartrace.learn.rcl.state import IterationLog, Row, State


@dataclass(frozen=True)
class Done:
    """`record` is None where it was not wanted."""

    state: State
    row: Row
    record: IterationLog | None = None


async def step(it: Iteration, state: State) -> Done:
    """Raises `LLMError`, `BudgetExhausted` among them: the state given is then still the last one."""
    ran = await _run(it, state)
    selection = select(ran.groups, ran.sampler, it.config.selection, it.config.seed, it.number)
    solved = _solved(state, ran.groups)
    learned = await learn(it, state.model_copy(update={"solved": solved}), selection.signals)
    sampler = ran.sampler.with_reflected([one.task.id for one in selection.signals])
    next_state = State(
        config=state.config,
        tasks=state.tasks,
        iteration=it.number,
        playbook=learned.playbook,
        sampler=sampler,
        best=ran.best,
        solved=solved,
        more_runs=_more_runs(it, state, ran, learned),
        spoiled=0 if ran.train.n else state.spoiled + 1,
        acceptance=learned.acceptance,
        memory=state.memory,
    )
    row = row_of(it, ran, selection, learned, next_state)
    next_state = await remember(it, state, next_state, learned, row)
    return Done(next_state, row, record_of(it, ran, selection, learned) if it.detailed else None)


async def _run(it: Iteration, state: State) -> Ran:
    """Sample and run, count into the failure buffer what was scored (R12), validate when it is time."""
    config, pool = it.config, list(it.tasks)
    if config.single_pass:
        batch, sampler = next_chunk(state.sampler, config.batch_size)
    else:
        batch, sampler = draw(state.sampler, pool, config.sampling, config.seed, it.number)
    it.phase("run")
    groups = await run_batch(it.parts, config, state.playbook, batch, it.tasks, it.number, state.more_runs)
    if config.failure_replay_ratio:
        buffer = sampler.buffer
        for group in groups:
            if not group.skipped:
                buffer, _ = record(buffer, group.task.id, group.any_passed, config.replay)
        sampler = sampler.model_copy(update={"buffer": buffer})
    validation: list[Episode] = []
    if it.parts.validation and not config.skip_validation and (it.number - 1) % config.val_interval == 0:
        it.phase("validate")
        provider = it.parts.provide(state.playbook)
        validation = await validate(it.parts.runner, provider, it.parts.validation, config.seed)
    best = await challenged(state.best, state.playbook, state.iteration, validation, it.parts, config.seed)
    return Ran(batch, groups, sampler, scored([run for one in groups for run in one.episodes]), validation, best)


def _solved(state: State, groups: Sequence[Group]) -> tuple[str, ...]:
    """Tasks whose last clean runs were all full passes, in the order in which they were solved."""
    run = {one.task.id: one.all_passed for one in groups if not one.skipped}
    kept = [id for id in state.solved if run.get(id, True)]
    return (*kept, *(id for id, passed in run.items() if passed and id not in state.solved))


def _more_runs(it: Iteration, state: State, ran: Ran, learned: Learned) -> tuple[str, ...]:
    """Tasks that failed by chance are run more often before they call for an edit; once."""
    if not (it.config.auxiliary_losses and it.config.variance_rollouts):
        return ()
    waiting = [id for id in state.more_runs if id not in ran.batch.task_ids]
    new = [id for id in learned.more_runs if id in it.tasks and id not in waiting and id not in state.more_runs]
    return (*waiting, *new)
