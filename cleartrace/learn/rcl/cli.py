"""`cleartrace optimize`: learn a playbook on an environment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.flags import with_flags
from cleartrace.learn.rcl.run_config import ConfigError, RunConfig

_GONE = {
    "start_iteration": "--resume knows the iteration by itself",
    "resume_history": "--resume keeps the history by itself",
}


@with_flags(RunConfig, switches={"failure_replay_unseen_first": "--failure-replay-no-unseen-first"})
def optimize(
    name: Annotated[str, typer.Argument(metavar="ENV", help="Environment, e.g. ruleworld.", show_default=False)] = "",
    config: Annotated[
        list[Path] | None, typer.Option(help="YAML file with settings; may be repeated, options win over all.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the run; runs/rcl-ENV by default.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    allow_config_change: Annotated[
        bool, typer.Option("--allow-config-change", help="With --resume: go on under other settings.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and print the settings, and run nothing.")] = False,
    start_iteration: Annotated[int | None, typer.Option(hidden=True)] = None,
    resume_history: Annotated[str | None, typer.Option(hidden=True)] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Learn a playbook with RCL: run tasks, reflect on failures, edit, again. ruleworld needs no model."""
    from cleartrace.learn.rcl.command import Order, run_order, settings

    for flag, value in (("start_iteration", start_iteration), ("resume_history", resume_history)):
        if value is not None:
            _fail(f"--{flag.replace('_', '-')} has no effect: {_GONE[flag]}")
    if name:
        if given.get("environment", name) != name:
            _fail(f"two environments are named, {name} and {given['environment']}")
        given["environment"] = name
    order = Order(given, tuple(config or ()), output, resume, allow_config_change, dry_run)
    try:
        settled = settings(order)
        status = asyncio.run(run_order(order, settled))
    except ConfigError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with: cleartrace optimize --resume {order.folder(settled)}", err=True)
        raise typer.Exit(130) from None
    else:
        raise typer.Exit(status)


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)
