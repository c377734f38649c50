"""An iteration as a row of figures, and as a record of everything that was done."""

from __future__ import annotations

from cleartrace.context.playbook.render import render
from cleartrace.learn.rcl.iteration import Iteration, Learned, Ran
from cleartrace.learn.rcl.runs import listed
from cleartrace.learn.rcl.select import Selection
from cleartrace.learn.rcl.state import IterationLog, Row, State


def row_of(it: Iteration, ran: Ran, selection: Selection, learned: Learned, state: State) -> Row:
    val, edit = ran.val, learned.edit
    return Row(
        iteration=it.number,
        train_pass=ran.train.mean,
        train_tgc=ran.train.passed,
        runs=ran.train.n,
        probes=sum(one.is_probe for one in ran.episodes),
        unscored=ran.train.unscored,
        val_pass=val.mean,
        val_tgc=val.passed,
        val_unscored=val.unscored,
        playbook_size=len(state.playbook),
        playbook_tokens=render(state.playbook).tokens,
        coverage=len(state.sampler.seen) / len(it.tasks),
        signals=len(selection.signals),
        contrastive=sum(one.contrastive for one in selection.signals),
        replayed=sum(one.replayed for one in selection.signals),
        batch_replayed=len(ran.batch.replayed),
        batch_unseen=ran.batch.unseen,
        buffer=len(state.sampler.buffer),
        proposed=len(edit.applied) + len(edit.rejected) + len(edit.refused),
        refused=len(edit.refused),
        rejected=len(edit.rejected),
        kept=learned.kept,
        pruned=len(edit.pruned),
        compacted=len(edit.compacted),
        acceptance_runs=learned.acceptance_runs,
        best_value=state.best.value if state.best else None,
        best_iteration=state.best.iteration if state.best else None,
        note=learned.note if ran.train.n else _why_unscored(ran),
    )


def record_of(it: Iteration, ran: Ran, selection: Selection, learned: Learned) -> IterationLog:
    return IterationLog(
        iteration=it.number,
        batch=ran.batch,
        runs=tuple(run for one in ran.groups for run in listed(one.episodes, one.replayed)),
        validation=tuple(listed(ran.validation)),
        passed_over=selection.passed_over,
        reflected=tuple(one.task.id for one in selection.signals),
        edit=learned.edit,
    )


def _why_unscored(ran: Ran) -> str:
    """What the first run that was lost says."""
    failures = [one.outcome.failure for one in ran.episodes if one.outcome.failure is not None]
    return f"every run was lost: {failures[0].kind.value}, {failures[0].message}" if failures else "there was no run"
