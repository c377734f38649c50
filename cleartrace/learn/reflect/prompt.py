"""The prompt of a reflection: composed per call from features and signals, by one code for every mode (R10, R11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from cleartrace.context.playbook.render import View, render
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers.probing import SETS
from cleartrace.learn.facts import Facts
from cleartrace.learn.prompts import Prompt, compose
from cleartrace.learn.protocol import Signal
from cleartrace.learn.reflect.runs import Budget
from cleartrace.learn.reflect.tasks import runs_in, shown
from cleartrace.learn.shell.runs import RunShell


@dataclass(frozen=True)
class Features:
    """What reflection is asked for. Every combination works.

    Args:
        auxiliary: type of the failure, root cause and coverage gaps beside the analysis.
        batched: all tasks in one call where there are several; otherwise a call for each.
        dual: show each task's probe run and say how to read it.
        probes: set of instructions that make an agent show what it relies on, a name in `probing.SETS`: those of
            the probe runs, or without `dual` those of all runs. '' is no set, and with `dual` the full one.
    """

    auxiliary: bool = False
    batched: bool = False
    dual: bool = False
    probes: str = ""

    def __post_init__(self) -> None:
        if self.probes and self.probes not in SETS:
            raise ValueError(f"there is no set of instructions {self.probes!r}; there are {', '.join(SETS)}")

    @property
    def instructions(self) -> tuple[str, ...]:
        """Names of the instructions in force, as the templates know them."""
        return tuple(one.value for one in SETS[self.probes or "full"]) if self.probes or self.dual else ()


PLAIN = Features()


def reflection_prompt(
    facts: Facts,
    features: Features,
    budget: Budget,
    signals: Sequence[Signal],
    playbook: Playbook,
    shell: RunShell | None = None,
) -> Prompt:
    """The prompt about `signals`: one task, or several in one reading.

    Args:
        shell: over `runs_of(signals)`, for a reader that gets their folders in place of their text.

    Errors: `ValueError` for a signal with a probe where `features.dual` is off.
    """
    stray = [one.task.id for one in signals if one.probe is not None and not features.dual]
    if stray:
        raise ValueError(f"the tasks {', '.join(stray)} come with probe runs, and the feature `dual` is off")
    limit = budget.for_runs(runs_in(signals))
    folders = iter(shell.folders if shell else ())
    return compose(
        "reflect",
        facts=facts,
        auxiliary=features.auxiliary,
        dual=features.dual,
        instructions=features.instructions,
        batched=len(signals) > 1,
        grouped=any(len(one.episodes) > 1 for one in signals),
        playbook=render(playbook, View.REFLECTOR).text,
        tasks=[shown(one, budget, limit, list(islice(folders, runs_in([one])))) for one in signals],
        shell_help=shell.help if shell else "",
        calls=shell.limits.calls if shell else 0,
    )
