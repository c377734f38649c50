"""`cleartrace baseline`: other ways to learn a context, with the same agent, tasks and budget as `optimize`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.agents.workplace import AgentConfig
from cleartrace.flags import with_flags
from cleartrace.learn.baselines.names import Method

EXIT_SETTINGS = 2
EXIT_BUDGET = 3


@with_flags(AgentConfig, leave_out=("environment",))
def baseline(
    method: Annotated[Method, typer.Argument(help="ACE-style learning, best-of-n, Dynamic Cheatsheet, or GEPA.")],
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Environment, e.g. ruleworld.")],
    output: Annotated[Path, typer.Option(help="Folder of the run. The same command goes on with it.")],
    split: Annotated[str, typer.Option(help="Split to learn from.")] = "train",
    val_split: Annotated[str, typer.Option(help="Split to choose by; val, validation or dev unless named.")] = "",
    reflector_model: Annotated[str, typer.Option(help="Reflects and edits; the agent's model unless named.")] = "",
    n: Annotated[int | None, typer.Option(min=1, help="Candidates of best-of-n. (8)")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Tasks a candidate of best-of-n learns from. (5)")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Agent runs that GEPA may make. (500)")] = None,
    cap: Annotated[int | None, typer.Option(min=1, help="Tokens that the context may have.")] = None,
    seed: Annotated[int, typer.Option(help="Every random stream derives from it.")] = 42,
    *,
    given: dict[str, Any],
) -> None:
    """Learn a context with a baseline, for comparison with `cleartrace optimize`."""
    from rich.console import Console

    from cleartrace.agents.workplace import WorkplaceError
    from cleartrace.learn.baselines.command import Order, learn
    from cleartrace.llm.protocol import BudgetExhausted, LLMError

    order = Order(method, output, split, val_split, reflector_model, n, batch_size, runs, cap, seed)
    try:
        config = AgentConfig.checked({"environment": environment, **given})
        asyncio.run(learn(config, order, Console(soft_wrap=True, highlight=False)))
    except (WorkplaceError, ImportError) as error:
        _fail(str(error), EXIT_SETTINGS)
    except BudgetExhausted as error:
        _fail(f"{error}; what was paid for is kept, and the same command with a larger budget goes on", EXIT_BUDGET)
    except LLMError as error:
        _fail(f"{error}; the same command goes on where it stopped", 1)


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(status)
