"""The `cleartrace` command. Each subcommand imports what it needs when it runs, so `--help` stays fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import cleartrace

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train agents on cleaned trajectories.")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(cleartrace.__version__)
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train agents on cleaned trajectories."""


@app.command()
def report(
    run_dir: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of a run, e.g. runs/demo.")
    ],
) -> None:
    """Build report.html from a run's metrics and trajectories, and print its path."""
    from cleartrace.report import build_report

    typer.echo(build_report(run_dir))


if __name__ == "__main__":
    app()
