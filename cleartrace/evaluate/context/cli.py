"""`cleartrace context`: measure what contexts are worth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.agents.workplace import AgentConfig
from cleartrace.evaluate.context.names import CreditMethod
from cleartrace.flags import with_flags

app = typer.Typer(no_args_is_help=True, help="Measure what contexts are worth to an agent.")
EXIT_SETTINGS = 2
EXIT_BUDGET = 3


@app.command("eval")
@with_flags(AgentConfig, leave_out=("environment",))
def evaluate(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Environment, e.g. ruleworld.")],
    context: Annotated[
        list[str],
        typer.Option(
            help="none, static:FILE, playbook:FILE, rag:FILE, model:SPEC. May be given again: the first is what the "
            "others are compared with."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the evaluation. The same command resumes it.")],
    split: Annotated[str, typer.Option(help="Split to measure on.")] = "test",
    runs: Annotated[int, typer.Option(min=1, help="Runs of each task in each arm, under common seeds.")] = 3,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first scenarios that hold so many tasks.")] = None,
    cap: Annotated[int | None, typer.Option(min=1, help="Tokens that a context may have.")] = None,
    seed: Annotated[int, typer.Option(help="The passes' seeds derive from it.")] = 42,
    *,
    given: dict[str, Any],
) -> None:
    """Run an agent with one context after another, and compare task by task."""
    from cleartrace.agents.workplace import WorkplaceError
    from cleartrace.evaluate.context.command import evaluate_contexts
    from cleartrace.evaluate.context.run import Plan
    from cleartrace.llm.protocol import BudgetExhausted

    plan = Plan(tuple(context), split, runs, limit, cap, seed)
    try:
        config = AgentConfig.checked({"environment": environment, **given})
        asyncio.run(evaluate_contexts(config, plan, out))
    except WorkplaceError as error:
        _fail(str(error), EXIT_SETTINGS)
    except BudgetExhausted as error:
        _fail(f"{error}; what was finished is kept, and the same command with a larger budget goes on", EXIT_BUDGET)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on", 130)


@app.command()
@with_flags(AgentConfig, leave_out=("environment",))
def credit(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Environment, e.g. ruleworld.")],
    playbook: Annotated[Path, typer.Option(help="Playbook whose entries are measured.")],
    out: Annotated[Path, typer.Option(help="File for the effects; credit.json in a run's folder enters its page.")],
    method: Annotated[
        CreditMethod, typer.Option(help="Random dropout measures all entries at once; leaving one out, one by one.")
    ] = CreditMethod.DROPOUT,
    split: Annotated[str, typer.Option(help="Split to measure on; never the one to report on.")] = "train",
    draws: Annotated[int, typer.Option(min=2, help="Pairs of a task and a run's seed.")] = 100,
    runs_each: Annotated[int, typer.Option(min=2, help="Runs of each draw under dropout.")] = 4,
    rate: Annotated[float, typer.Option(help="Chance of an entry to be left out under dropout.")] = 0.3,
    cap: Annotated[int | None, typer.Option(min=1, help="Tokens that the playbook may have.")] = None,
    seed: Annotated[int, typer.Option(help="Draws and dropouts derive from it.")] = 42,
    *,
    given: dict[str, Any],
) -> None:
    """Measure what each entry of a playbook is worth: its effect on the score, with an interval."""
    from cleartrace.agents.workplace import WorkplaceError
    from cleartrace.data.errors import DataError
    from cleartrace.evaluate.context.credit import Measurement, measure_credit
    from cleartrace.llm.protocol import BudgetExhausted

    plan = Measurement(playbook, method, split, draws, runs_each, rate, cap, seed)
    try:
        config = AgentConfig.checked({"environment": environment, **given})
        asyncio.run(measure_credit(config, plan, out))
    except (WorkplaceError, DataError) as error:
        _fail(str(error), EXIT_SETTINGS)
    except BudgetExhausted as error:
        _fail(f"{error}; the runs that were finished are kept, and the same command goes on", EXIT_BUDGET)


@app.command()
def compare(
    arms: Annotated[list[Path], typer.Argument(help="Folders of arms, the first being what others are compared with.")],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json, .md and .html.")],
    force: Annotated[bool, typer.Option("--force", help="Also compare arms that differ in more than context.")] = False,
) -> None:
    """Compare arms of one or several evaluations. Arms that differ in more than context are refused."""
    from cleartrace.data.errors import DataError
    from cleartrace.evaluate.context.command import compare_folders
    from cleartrace.evaluate.context.compare import Unfair

    try:
        compare_folders(arms, out, force)
    except (DataError, Unfair, ValueError) as error:
        _fail(str(error), EXIT_SETTINGS)


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(status)
