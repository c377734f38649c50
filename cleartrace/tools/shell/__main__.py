"""`python -m cleartrace.tools.shell`: write task rows for the loop `mini_swe_agent`, and check tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cleartrace.data.errors import DataError
from cleartrace.tools.shell.config import Engine, RuntimeKind, ShellConfig
from cleartrace.tools.shell.rows import Source, read_tasks, write_task_rows

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Tasks for shell agents on repositories.")

Records = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Parquet, JSON or JSON lines file.")]
From = Annotated[Source, typer.Option("--source", help="Which data set the records come from.")]


@app.command()
def rows(
    records: Records,
    out: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    source: From = Source.SWE_GYM,
    split: Annotated[str, typer.Option(help="Said in each row.")] = "train",
    skip: Annotated[bool, typer.Option(help="Leave out records that cannot be used, and say why.")] = False,
) -> None:
    """Turn published records into rows that veRL reads. The hidden tests stay out of the prompts."""
    try:
        written = write_task_rows(read_tasks(records, source, _say_skipped if skip else None), out, split)
    except DataError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{written} tasks: {out}")


@app.command()
def check(
    records: Records,
    source: From = Source.SWE_GYM,
    runtime: Annotated[RuntimeKind, typer.Option(help="Where the tests run.")] = RuntimeKind.CONTAINER,
    engine: Annotated[Engine, typer.Option(help="The container engine.")] = Engine.DOCKER,
    at_once: Annotated[int, typer.Option(min=1, max=60, help="Sandboxes at the same time.")] = 4,
    skip: Annotated[bool, typer.Option(help="Leave out records that cannot be used, and say why.")] = False,
) -> None:
    """Run each task's hidden tests untouched and with the gold patch. Exit status 1 unless all are sound."""
    from cleartrace.tools.shell.check import check_tasks

    try:
        tasks = list(read_tasks(records, source, _say_skipped if skip else None))
    except DataError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    findings = check_tasks(tasks, ShellConfig(runtime=runtime, engine=engine, at_once=at_once))
    for finding in findings:
        typer.echo(finding.line())
    sound = sum(finding.sound for finding in findings)
    typer.echo(f"{sound} of {len(findings)} tasks are sound.")
    raise typer.Exit(0 if sound == len(findings) else 1)


def _say_skipped(reason: str) -> None:
    typer.echo(f"left out: {reason}", err=True)


if __name__ == "__main__":
    app()
