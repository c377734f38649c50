"""The `cleartrace` command. Each subcommand imports what it needs when it runs, so `--help` stays fast."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import cleartrace
from cleartrace.agents.rollout_endpoint.cli import rollout_serve
from cleartrace.context.middleware.cli import serve as serve_context
from cleartrace.context.playbook.cli import app as playbook_app
from cleartrace.data.cli import app as data_app
from cleartrace.environments.cli import app as environments_app
from cleartrace.episodes.cli import app as episodes_app
from cleartrace.evaluate import cli as evaluate_cli
from cleartrace.evaluate.context.cli import app as context_app
from cleartrace.evaluate.context.cli_abstention import abstention
from cleartrace.evaluate.long.cli import app as bench_app
from cleartrace.learn.baselines.cli import baseline
from cleartrace.learn.clear.cli import app as clear_app
from cleartrace.learn.rcl.cli import optimize
from cleartrace.needle.cli import app as needle_app
from cleartrace.pairs.cli import app as pairs_app
from cleartrace.probe import cli as probe_cli

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train agents on cleaned trajectories.")
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")
app.add_typer(clear_app, name="clear")
app.add_typer(context_app, name="context")
app.add_typer(environments_app, name="environments")
app.add_typer(episodes_app, name="episodes")
app.add_typer(needle_app, name="needle")
app.add_typer(pairs_app, name="pairs")
app.add_typer(playbook_app, name="playbook")


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
    run_dir: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of a run, e.g. runs/demo.")],
) -> None:
    """Build report.html of a training run, or of a playbook learned by `optimize`, and print its path."""
    from cleartrace.data.errors import DataError
    from cleartrace.learn.rcl.report import build_page, is_run
    from cleartrace.report import build_report
    from cleartrace.report.load import ReportError

    try:
        typer.echo(build_page(run_dir) if is_run(run_dir) else build_report(run_dir))
    except (DataError, ReportError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


@app.command()
def doctor(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Also say whether this loopback port is free.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say what would stop a run here and how to mend it. Exit status 0 only when the quickstart would work."""
    from cleartrace.doctor import all_checks, find_root, gather, print_checks, usable

    checks = all_checks(gather(find_root(Path.cwd()), port))
    if as_json:
        typer.echo(json.dumps({"usable": usable(checks), "checks": [check.as_dict() for check in checks]}, indent=2))
    else:
        print_checks(checks)
    raise typer.Exit(0 if usable(checks) else 1)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(context: typer.Context) -> None:
    """Train: `cleartrace train [--recipe DIR] [--dry-run] [key=value ...]`."""
    sys.stdout.flush()
    # Replaces this process, so that signals and the exit status are those of the run.
    os.execv(sys.executable, [sys.executable, "-m", "cleartrace_verl.main", *context.args])


app.command("eval")(evaluate_cli.evaluate)
app.command("passrate")(evaluate_cli.passrate)
app.command("serve")(evaluate_cli.serve)
app.command("export-lcb")(evaluate_cli.export_lcb)
app.command("probe")(probe_cli.probe)
app.command("optimize")(optimize)
app.command("baseline")(baseline)
app.command("rollout-serve")(rollout_serve)
context_app.command("abstention")(abstention)
context_app.command("serve")(serve_context)


if __name__ == "__main__":
    app()
