"""Everything a run must remember, as one value; and what an iteration leaves for people to read."""

from __future__ import annotations

from typing import Any

from cleartrace.context.playbook.apply import Change, Rejected
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import Record
from cleartrace.learn.accept import Verdict
from cleartrace.learn.memory.document import OptimizerState
from cleartrace.learn.protocol import Refusal
from cleartrace.learn.rcl.sampler import Batch, SamplerState


class Best(Record):
    """The playbook that validated best, apart from the last one (R17).

    Args:
        value: see `accept.validation.value`; None where nothing was validated.
        iteration: how many iterations had edited it.
        scores: by validation task, of the runs that were scored.
    """

    playbook: Playbook
    value: float | None
    iteration: int
    scores: dict[str, float] = {}


class State(Record):
    """Between two iterations, the whole of a run. Random numbers need no place in it: they derive from the seed, the
    iteration and a name (`streams.py`). What was paid for within an iteration is in its journal (`rundir.py`).

    Args:
        config, tasks: digests of what the run was started with.
        iteration: how many are finished.
        left_out: entries that the run was given and the budget left out; the first iteration's record has them.
        best: None before the first validation.
        solved: ids of tasks whose last clean run was a full pass: anchors for a policy of acceptance.
        more_runs: ids of tasks that failed by chance and get extra runs when they are drawn next.
        spoiled: iterations in a row in which no run was scored.
        acceptance, memory: what the policy and the optimiser's memory keep.
    """

    schema_version: int = 1
    config: str = ""
    tasks: str = ""
    iteration: int = 0
    playbook: Playbook = Playbook()
    left_out: tuple[Entry, ...] = ()
    sampler: SamplerState = SamplerState()
    best: Best | None = None
    solved: tuple[str, ...] = ()
    more_runs: tuple[str, ...] = ()
    spoiled: int = 0
    acceptance: dict[str, Any] = {}
    memory: OptimizerState | None = None


class Row(Record):
    """One iteration in figures; a line of `history.jsonl`. Without time and cost, so that equal runs have equal rows.

    Args:
        train_pass, train_tgc: mean score and share of full passes of the clean runs (R4); None without a scored run.
        runs, probes, unscored: clean scored runs; probe runs; clean runs spoiled by others than the agent.
        val_pass, val_tgc: of the playbook before this iteration's edits; None where it was not validated (S6).
        playbook_size, playbook_tokens: after this iteration.
        coverage: share of the tasks that were run at least once.
        signals, contrastive, replayed: tasks reflected on, those of them with passes and failures, those replayed.
        batch_replayed, batch_unseen, buffer: tasks of the batch from the failure buffer, never run before; its size.
        proposed, refused, rejected, kept: edits asked for; unusable as written; against the rules; kept.
        note: why the iteration edited nothing, where it did not; or that the policy took up another playbook.
    """

    schema_version: int = 1
    iteration: int
    train_pass: float | None = None
    train_tgc: float | None = None
    runs: int = 0
    probes: int = 0
    unscored: int = 0
    val_pass: float | None = None
    val_tgc: float | None = None
    val_unscored: int = 0
    playbook_size: int = 0
    playbook_tokens: int = 0
    coverage: float = 0.0
    signals: int = 0
    contrastive: int = 0
    replayed: int = 0
    batch_replayed: int = 0
    batch_unseen: int = 0
    buffer: int = 0
    proposed: int = 0
    refused: int = 0
    rejected: int = 0
    kept: int = 0
    pruned: int = 0
    compacted: int = 0
    acceptance_runs: int = 0
    best_value: float | None = None
    best_iteration: int | None = None
    note: str = ""


class Run(Record):
    """One run of an iteration. `episode`: its id in the store."""

    task: str
    seed: int
    kind: str
    score: float | None
    episode: str
    replayed: bool = False
    failure: str = ""


class Edit(Record):
    """What became of a proposal: every operation is in `applied`, `rejected` or `refused` (S4).

    Args:
        tallies: entry id -> how often it was helpful, harmful, neutral in this iteration's reflections.
        pruned, compacted: entries that went for their counts, and for the budget.
        verdicts: of the policy of acceptance, on what was applied.
        switched: entries that the playbook does not have with which the policy went on in place of this one.
    """

    tallies: dict[str, tuple[int, int, int]] = {}
    unknown: tuple[str, ...] = ()
    pruned: tuple[Entry, ...] = ()
    applied: tuple[Change, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    refused: tuple[Refusal, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    compacted: tuple[Entry, ...] = ()
    switched: tuple[Entry, ...] = ()


class IterationLog(Record):
    """One iteration in full; `iteration.json` of its folder."""

    schema_version: int = 1
    iteration: int
    batch: Batch
    runs: tuple[Run, ...] = ()
    validation: tuple[Run, ...] = ()
    passed_over: dict[str, str] = {}
    reflected: tuple[str, ...] = ()
    edit: Edit = Edit()
