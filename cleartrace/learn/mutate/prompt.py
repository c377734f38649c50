"""The prompt of a mutation, and the schema of its reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cleartrace.context.playbook.ops import Op
from cleartrace.context.playbook.render import View, render
from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.facts import Facts
from cleartrace.learn.mutate.findings import findings
from cleartrace.learn.prompts import Prompt, compose
from cleartrace.learn.protocol import Reflection, Signal

PUBLISHED = (Op.ADD, Op.UPDATE, Op.DELETE)


class Runs(str, Enum):
    """What a mutator sees of the runs beside the findings about them."""

    FULL = "full"
    SUMMARY = "summary"
    NONE = "none"


@dataclass(frozen=True)
class Options:
    """What a mutator may do and is shown.

    Args:
        operations: those on offer. ADD alone is the add-only mode; MERGE and SPLIT are ours.
        auxiliary: reflections carry type of failure, cause and gaps; say how to use them.
        runs: see `Runs`.
        entry_cap: longest entry in characters, as the rules of edits have it; 0 for no limit.
        more_runs_on_variance: propose nothing where luck of execution is all that was found, and name the tasks to run
            more often. Needs `auxiliary`.
    """

    operations: tuple[Op, ...] = PUBLISHED
    auxiliary: bool = False
    runs: Runs = Runs.FULL
    entry_cap: int = 0
    more_runs_on_variance: bool = False

    def __post_init__(self) -> None:
        if Op.ADD not in self.operations:
            raise ValueError("a mutator without ADD can begin nothing; name ADD among its operations")
        if self.more_runs_on_variance and not self.auxiliary:
            raise ValueError("more_runs_on_variance has no effect without auxiliary: no finding then has a type")


DEFAULTS = Options()


def mutation_prompt(
    facts: Facts,
    options: Options,
    playbook: Playbook,
    signals: Sequence[Signal],
    reflections: Sequence[Reflection],
    runs: Sequence[str],
    memory: str,
) -> Prompt:
    """The prompt. `runs`: texts that show them, none with `Runs.NONE`."""
    assessed = {verdict.entry_id for one in reflections for verdict in one.verdicts}
    return compose(
        "mutate",
        facts=facts,
        operations=[op.value for op in options.operations],
        add_only=set(options.operations) == {Op.ADD},
        auxiliary=options.auxiliary,
        cap=options.entry_cap,
        playbook=render(playbook, View.MUTATOR, assessed=assessed).text,
        memory=memory,
        task_ids=reflected(reflections),
        findings=findings(reflections, signals),
        runs=list(runs),
        summaries=options.runs is Runs.SUMMARY,
    )


def reflected(reflections: Sequence[Reflection]) -> list[str]:
    """Ids of tasks about which something was found, each once, in order."""
    told = [one for one in reflections if one.analysis or one.verdicts]
    return list(dict.fromkeys(id for one in told for id in one.task_ids))


def reply_schema(operations: Sequence[Op]) -> dict[str, Any]:
    """JSON schema of a mutation. What the operations need of it is checked when they are read and made."""
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    fields: dict[str, Any] = {
        "op": {"type": "string", "enum": [op.value for op in operations]},
        "section": text,
        "content": text,
        "rationale": text,
        "expected_effect": text,
        "scope_hint": text,
        "source_tasks": texts,
    }
    if set(operations) != {Op.ADD}:
        fields["entry_id"] = text
    if Op.MERGE in operations:
        fields["entry_ids"] = texts
    if Op.SPLIT in operations:
        fields["contents"] = texts
    operation = {"type": "object", "properties": fields, "required": ["op"], "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"mutation_summary": text, "operations": {"type": "array", "items": operation}},
        "required": ["mutation_summary", "operations"],
        "additionalProperties": False,
    }
