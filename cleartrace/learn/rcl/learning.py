"""The second half of an iteration: reflect, count, ask for edits, make them, have them judged, remember."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from cleartrace.context.playbook.apply import Applied, Change, apply
from cleartrace.context.playbook.types import Entry, Playbook, Source
from cleartrace.episodes.types import Record
from cleartrace.learn.accept import Case, Decision
from cleartrace.learn.memory.document import OptimizerState
from cleartrace.learn.memory.record import IterationRecord
from cleartrace.learn.memory.render import memory_text
from cleartrace.learn.protocol import FailureType, Proposal, Reflection, Signal
from cleartrace.learn.rcl.edit import Assessed, LoopBench, assess, guarded, rules_of
from cleartrace.learn.rcl.iteration import Iteration, Learned
from cleartrace.learn.rcl.state import Edit, Row, State

_SWITCHED = "the policy of acceptance went on from another playbook of its own"


class Reflections(Record):
    reflections: tuple[Reflection, ...]


class Remembered(Record):
    """`memory.Remembered` as a record."""

    state: OptimizerState
    prompt_hash: str = ""
    error: str = ""
    dropped: tuple[str, ...] = ()


async def learn(it: Iteration, state: State, signals: Sequence[Signal]) -> Learned:
    if not signals:
        edit = Edit(compacted=state.left_out)
        return Learned(state.playbook, edit=edit, acceptance=state.acceptance, note="no task gave a signal")
    it.phase("reflect")
    reflections = await _reflect(it, state.playbook, signals)
    assessed = assess(state.playbook, reflections, it.config.prune_threshold)
    it.phase("edit")
    memory = memory_text(state.memory) if state.memory is not None else ""
    seed = it.seed("mutate")
    proposal = await it.journal.once(
        "proposal",
        Proposal,
        lambda: (assessed.playbook.digest, [one.digest for one in reflections], memory, seed),
        lambda: it.parts.mutator.propose(assessed.playbook, signals, reflections, memory, seed),
    )
    return await _edit(it, state, signals, reflections, assessed, proposal)


async def _reflect(it: Iteration, playbook: Playbook, signals: Sequence[Signal]) -> tuple[Reflection, ...]:
    """A call for each signal, or one over all. Each is kept as soon as it is there, whatever becomes of the others."""
    seed = it.seed("reflect")

    async def about(name: str, some: Sequence[Signal]) -> tuple[Reflection, ...]:
        async def make() -> Reflections:
            return Reflections(reflections=await it.parts.reflector.reflect(some, playbook, seed))

        def inputs() -> object:
            return playbook.digest, seed, [one.digest for one in some]

        return (await it.journal.once(f"reflections/{name}", Reflections, inputs, make)).reflections

    if it.config.batched_reflection and len(signals) > 1:
        return await about("batch", signals)
    if len(signals) == 1:
        return await about(signals[0].task.id, signals)
    results = await asyncio.gather(*(about(one.task.id, [one]) for one in signals), return_exceptions=True)
    for one in results:
        if isinstance(one, BaseException):
            raise one
    return tuple(reflection for found in results for reflection in found)  # type: ignore[union-attr]


async def _edit(
    it: Iteration,
    state: State,
    signals: Sequence[Signal],
    reflections: tuple[Reflection, ...],
    assessed: Assessed,
    proposal: Proposal,
) -> Learned:
    """Make the edits by the rules, and keep what the policy of acceptance keeps."""
    source = Source(
        iteration=it.number,
        tasks=tuple(one.task.id for one in signals),
        episodes=tuple(run for one in reflections for run in one.episodes),
        reason=proposal.summary,
    )
    rules = rules_of(it.config)
    clean, leaking = guarded(proposal.operations, it.parts.guard)
    made = apply(assessed.playbook, clean, rules, source)
    made = replace(made, rejected=(*leaking, *made.rejected))
    bench = LoopBench(it.parts.runner, it.parts.provide, rules, source, it.config.playbook_budget)
    decision = await _decide(it, state, signals, assessed.playbook, made.applied, bench)
    kept = tuple(one for verdict in decision.verdicts if verdict.kept for one in verdict.operations)
    gone = bench.gone(assessed.playbook, kept, decision.playbook)
    edit = _account(assessed, proposal, made, decision, left_out=state.left_out, gone=gone)
    return Learned(
        playbook=decision.playbook,
        reflections=reflections,
        edit=edit,
        summary=_SWITCHED if decision.switched else proposal.summary,
        more_runs=_by_chance(reflections, proposal),
        acceptance=decision.memory,
        acceptance_runs=decision.runs,
        kept=len(kept),
        note=_SWITCHED if decision.switched else "" if kept else _why_nothing(proposal, edit),
    )


def _account(
    assessed: Assessed,
    proposal: Proposal,
    made: Applied,
    decision: Decision,
    *,
    left_out: tuple[Entry, ...],
    gone: tuple[Entry, ...],
) -> Edit:
    """`left_out`: for the budget, at the start. `gone`: entries that are not in force although no edit removed them."""
    return Edit(
        tallies={id: (one.helpful, one.harmful, one.neutral) for id, one in assessed.tallies.items()},
        unknown=assessed.unknown,
        pruned=tuple(one for one in assessed.pruned if decision.playbook.entry(one.id) is None),
        applied=made.applied,
        rejected=made.rejected,
        refused=proposal.refused,
        verdicts=decision.verdicts,
        compacted=left_out if decision.switched else (*left_out, *gone),
        switched=gone if decision.switched else (),
    )


async def _decide(
    it: Iteration, state: State, signals: Sequence[Signal], current: Playbook, made: Sequence[Change], bench: LoopBench
) -> Decision:
    it.phase("accept")
    case = Case(
        current=current,
        operations=tuple(one.operation for one in made),
        affected=tuple(one.task for one in signals),
        anchors=tuple(it.tasks[id] for id in state.solved if id in it.tasks),
        iteration=it.number,
        memory=state.acceptance,
    )
    seed = it.seed("accept")
    return await it.journal.once(
        "decision",
        Decision,
        lambda: (current.digest, [one.digest for one in case.operations], state.solved, state.acceptance, seed),
        lambda: it.parts.acceptance.decide(case, bench, seed),
    )


async def remember(it: Iteration, state: State, after: State, learned: Learned, row: Row) -> State:
    """The optimiser's memory learns of iterations that had a signal."""
    memory = it.parts.memory
    if memory is None or not learned.reflections:
        return after
    it.phase("remember")
    kept = {one.canonical() for verdict in learned.edit.verdicts if verdict.kept for one in verdict.operations}
    record = IterationRecord.of(
        it.number,
        learned.reflections,
        [one for one in learned.edit.applied if one.operation.canonical() in kept],
        learned.edit.verdicts,
        summary=learned.summary,
        train_pass=row.train_pass,
        train_tgc=row.train_tgc,
    )
    old, seed = state.memory or OptimizerState(), it.seed("remember")

    async def make() -> Remembered:
        new = await memory.update(old, record, after.playbook, seed)
        return Remembered(state=new.state, prompt_hash=new.prompt_hash, error=new.error, dropped=new.dropped)

    inputs = (old, record, after.playbook)
    found = await it.journal.once("memory", Remembered, lambda: ([one.digest for one in inputs], seed), make)
    return after.model_copy(update={"memory": found.state})


def _by_chance(reflections: Sequence[Reflection], proposal: Proposal) -> tuple[str, ...]:
    """Tasks that failed by variance of execution, as the reflector finds or the mutator concludes."""
    found = [id for one in reflections if one.failure_type is FailureType.EXECUTION_VARIANCE for id in one.task_ids]
    return tuple(dict.fromkeys((*found, *proposal.more_runs)))


def _why_nothing(proposal: Proposal, edit: Edit) -> str:
    if proposal.error:
        return f"no edits: {proposal.error}"
    if edit.verdicts:
        return "no edit was accepted: " + "; ".join(dict.fromkeys(one.reason for one in edit.verdicts))
    if edit.rejected or edit.refused:
        return "no edit could be made: " + "; ".join(
            dict.fromkeys(one.reason for one in (*edit.rejected, *edit.refused))
        )
    return "the mutator proposed no edit"
