"""RCL: iterations until the number asked for, the budget, or a fault ends them; the run then says which."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from cleartrace.context.playbook.types import Playbook
from cleartrace.episodes.types import Task
from cleartrace.learn.rcl.best import challenged
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.edit import fit
from cleartrace.learn.rcl.journal import Journal, NoJournal
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.runs import Scored, scored, validate
from cleartrace.learn.rcl.sampler import SamplerState, single_pass_iterations, single_pass_order
from cleartrace.learn.rcl.state import Best, Row, State
from cleartrace.learn.rcl.step import Done, Iteration, step
from cleartrace.llm.protocol import BudgetExhausted, LLMError

SPOILED_LIMIT = 3
"""Iterations in a row without a scored run after which something else than the agent is broken."""


class Stop(str, Enum):
    """Why a run ended. All but `FINISHED` can be resumed."""

    FINISHED = "finished"
    BUDGET = "budget"
    MODEL_FAILED = "model_failed"
    NOTHING_SCORED = "nothing_scored"


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Args:
        best: by validation; without one, the last playbook, with no value.
        history: of the iterations this call made.
        final: validation of the last playbook, where the run finished and there are tasks for it.
        reason: why it stopped, in a sentence.
    """

    state: State
    best: Best
    history: tuple[Row, ...]
    stop: Stop
    reason: str
    final: Scored | None = None

    @property
    def playbook(self) -> Playbook:
        return self.state.playbook


class RunStore(Protocol):
    """Where a run lives."""

    @property
    def detailed(self) -> bool:
        """Whether records for people are kept."""
        ...

    def load(self) -> State | None:
        """The state after the last finished iteration; None for a new run."""
        ...

    def begin(self, state: State) -> None:
        """Keep the state of a new run."""
        ...

    def journal(self, iteration: int, under: str) -> Journal:
        """`under`: settings that everything in it depends on."""
        ...

    def commit(self, done: Done) -> None: ...

    def finish(self, result: Result) -> None: ...


class InMemory:
    """Keeps nothing: for studies of thousands of runs."""

    detailed = False

    def load(self) -> State | None:
        return None

    def begin(self, state: State) -> None:
        del state

    def journal(self, iteration: int, under: str) -> Journal:
        del iteration, under
        return NoJournal()

    def commit(self, done: Done) -> None:
        del done

    def finish(self, result: Result) -> None:
        del result


class Progress:
    """Told what happens; this one tells nobody."""

    def begin(self, state: State, iterations: int) -> None:
        del state, iterations

    def phase(self, iteration: int, name: str) -> None:
        del iteration, name

    def row(self, row: Row) -> None:
        del row


class SettingsError(ValueError):
    """Settings that do not go together with what they are used on."""


async def optimize(
    config: RclConfig,
    parts: Parts,
    playbook: Playbook | None = None,
    *,
    store: RunStore | None = None,
    progress: Progress | None = None,
    guard: Callable[[], None] = lambda: None,
    allow_change: bool = False,
) -> Result:
    """Learn a playbook.

    Args:
        playbook: to start from; empty for None. A store that holds a run goes on from there instead.
        store: a `RunDirectory`, or nothing to leave no files.
        guard: called before each phase of an iteration; raises `BudgetExhausted` to end the run.
        allow_change: go on with a run under other settings, tasks or models than it was begun with.

    Raises:
        SettingsError: the settings do not go with the parts, or with the run that is to go on.
    """
    check(config, parts)
    store, progress = store or InMemory(), progress or Progress()
    state = _continued(store.load(), config, parts, allow_change)
    if state is None:
        state = start(config, parts, Playbook() if playbook is None else playbook)
        store.begin(state)
    course = _Course(config, parts, {one.id: one for one in parts.train}, state, store, progress, guard)
    try:
        stop, reason = await course.go()
    except BudgetExhausted as error:
        stop, reason = Stop.BUDGET, str(error)
    except LLMError as error:
        stop, reason = Stop.MODEL_FAILED, f"{type(error).__name__} in iteration {course.state.iteration + 1}: {error}"
    result = Result(course.state, course.best, tuple(course.history), stop, reason, course.final)
    store.finish(result)
    return result


@dataclass
class _Course:
    """A run under way. `state` is that of the last finished iteration, whatever happens to the next one.

    `final`, `final_best`: of the validation after the last iteration.
    """

    config: RclConfig
    parts: Parts
    tasks: dict[str, Task]
    state: State
    store: RunStore
    progress: Progress
    guard: Callable[[], None]
    history: list[Row] = field(default_factory=list)
    final: Scored | None = None
    final_best: Best | None = None

    @property
    def best(self) -> Best:
        state = self.state
        return self.final_best or state.best or Best(playbook=state.playbook, value=None, iteration=state.iteration)

    async def go(self) -> tuple[Stop, str]:
        """Why it stopped, in a word and a sentence. Raises `LLMError`."""
        last = iterations(self.config, len(self.tasks))
        self.progress.begin(self.state, last)
        while self.state.iteration < last:
            done = await step(self._iteration(), self.state)
            self.store.commit(done)
            self.state = done.state
            self.history.append(done.row)
            self.progress.row(done.row)
            if self.state.spoiled >= SPOILED_LIMIT:
                reason = f"no run was scored in the last {self.state.spoiled} iterations; {done.row.note}"
                return Stop.NOTHING_SCORED, reason
        await self._validate()
        return Stop.FINISHED, f"all {last} iterations are done"

    def _iteration(self) -> Iteration:
        number = self.state.iteration + 1

        def phase(name: str) -> None:
            self.guard()
            self.progress.phase(number, name)

        return Iteration(
            config=self.config,
            parts=self.parts,
            tasks=self.tasks,
            number=number,
            journal=self.store.journal(number, f"{self.state.config}:{self.state.tasks}"),
            phase=phase,
            detailed=self.store.detailed,
        )

    async def _validate(self) -> None:
        """The last edits are validated too. No state changes: a run made longer goes on as if it had never ended."""
        if self.config.skip_validation or not self.parts.validation:
            return
        state, parts, seed = self.state, self.parts, self.config.seed
        self.progress.phase(state.iteration, "validate")
        runs = await validate(parts.runner, parts.provide(state.playbook), parts.validation, seed)
        self.final_best = await challenged(state.best, state.playbook, state.iteration, runs, parts, seed)
        self.final = scored(runs)


def start(config: RclConfig, parts: Parts, playbook: Playbook) -> State:
    """The state before the first iteration."""
    order = single_pass_order([one.id for one in parts.train], config.seed) if config.single_pass else ()
    fitting = fit(playbook, config.playbook_budget)
    return State(
        config=config.digest,
        tasks=tasks_digest(parts),
        playbook=fitting,
        left_out=tuple(one for one in playbook.entries if fitting.entry(one.id) is None),
        sampler=SamplerState(order=order),
    )


def iterations(config: RclConfig, pool_size: int) -> int:
    """How many a run makes."""
    return single_pass_iterations(pool_size, config.batch_size) if config.single_pass else config.iterations


def tasks_digest(parts: Parts) -> str:
    """16 hexadecimal characters over the tasks and the facts that a run stands on."""
    ids = [[one.id for one in tasks] for tasks in (parts.train, parts.validation)]
    return hashlib.sha256(json.dumps([ids, dict(parts.domain)], sort_keys=True).encode()).hexdigest()[:16]


def check(config: RclConfig, parts: Parts) -> None:
    """Refuse what would have no effect, or would spoil the figures. Raises `SettingsError`."""
    if not parts.train:
        raise SettingsError("there are no tasks to learn from; name another split or pool")
    _check_sides(parts.train, parts.validation)
    needs = (
        (config.dual_trace and parts.probe is None, "dual_trace needs a provider of probe runs"),
        (config.pp and parts.instruct is None, "pp needs a provider that adds instructions"),
        (config.use_optimization_state and parts.memory is None, "use_optimization_state needs a memory"),
        (not config.use_optimization_state and parts.memory is not None, "a memory needs use_optimization_state"),
        (
            config.leak_guard and parts.guard is None,
            "leak_guard needs right answers; none of these tasks has any",
        ),
        (not config.leak_guard and parts.guard is not None, "a guard needs leak_guard"),
        (config.val_interval != 1 and not parts.validation, "val_interval has no effect without validation tasks"),
    )
    for wrong, message in needs:
        if wrong:
            raise SettingsError(message)


def _check_sides(train: Sequence[Task], validation: Sequence[Task]) -> None:
    """A task never sits on two sides, and an id names one task (design rule 15)."""
    for tasks in (train, validation):
        ids = [one.id for one in tasks]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise SettingsError(f"several tasks share the ids {', '.join(twice[:5])}")
    if both := sorted({one.id for one in train} & {one.id for one in validation}):
        raise SettingsError(f"tasks are in training and in validation: {', '.join(both[:5])}")


def _continued(state: State | None, config: RclConfig, parts: Parts, allow_change: bool) -> State | None:
    """The state under these settings; refused where it was begun under others."""
    if state is None:
        return None
    now = {"config": config.digest, "tasks": tasks_digest(parts)}
    for name, what in (("config", "settings"), ("tasks", "tasks, agent or models")):
        if getattr(state, name) != now[name] and not allow_change:
            raise SettingsError(f"the run was begun with other {what}; go back to them, or allow the change")
    return state.model_copy(update=now)
