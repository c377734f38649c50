"""`cleartrace pairs make mutation`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mutation(
    out: Annotated[Path, typer.Argument(help="Folder for trajectories.jsonl, tasks.jsonl and repositories/.")],
    functions: Annotated[int, typer.Option(min=1, help="Functions to break.")] = 50,
    per_function: Annotated[int, typer.Option(min=2, help="Bugs of one function at most; two make a pair.")] = 3,
    module: Annotated[list[str] | None, typer.Option(help="Take functions of this module. May be given again.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Agents at a time.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
) -> None:
    """Break functions of installed packages and let a scripted agent mend them. Goes on after a kill.

    The trajectories are mined like published ones: `cleartrace pairs mine`.
    """
    from cleartrace.pairs.make.mutation.generate import MutationOptions, generate
    from cleartrace.pairs.make.mutation.subjects import MODULES
    from cleartrace.pairs.phases import phase_bars

    options = MutationOptions(
        functions=functions,
        per_function=per_function,
        modules=tuple(module or MODULES),
        workers=workers,
        seed=seed,
    )
    try:
        with phase_bars() as progress:
            made = generate(out, options, progress)
    except (ValueError, RuntimeError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{made.runs:,} runs on {made.functions:,} functions: {made.trajectories}\ntasks: {made.tasks}")
    if made.functions < functions:
        typer.echo(f"no more than {made.functions:,} functions of these modules can be used", err=True)
