"""The command line."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from code_judge.attack.command import attack
from code_judge.bench.command import bench
from code_judge.doctor import doctor
from code_judge.settings import LOG_FORMAT, Settings
from code_judge.soak.command import soak

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Runs model-written programs.")
app.command()(bench)
app.command()(attack)
app.command()(soak)
app.command()(doctor)

Queue = Annotated[str | None, typer.Option(help="Redis-protocol URL.", envvar=["CODE_JUDGE_QUEUE_URL", "REDIS_URI"])]
Workers = Annotated[int, typer.Option(help="Programs run at the same time.", envvar="MAX_WORKERS", min=0)]
MinIsolation = Annotated[
    str | None, typer.Option(help="Refuse to start below this level: L0 to L3.", envvar="CODE_JUDGE_MIN_ISOLATION")
]
MaxIsolation = Annotated[
    str | None, typer.Option(help="Try no level above this one.", envvar="CODE_JUDGE_MAX_ISOLATION")
]
AllowUnsafe = Annotated[bool, typer.Option("--allow-unsafe", help="The same as --min-isolation L0.")]
_CPUS = os.cpu_count() or 1


def _settings(least: str | None, most: str | None, allow_unsafe: bool) -> Settings:
    """From the environment and these options, which worker processes inherit."""
    for name, value in (("MIN", "L0" if allow_unsafe else least), ("MAX", most)):
        if value:
            os.environ[f"CODE_JUDGE_{name}_ISOLATION"] = value
    try:
        return Settings.from_env()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Beyond loopback a token (CODE_JUDGE_TOKEN) is required.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8088,
    workers: Workers = _CPUS,
    queue: Queue = None,
    min_isolation: MinIsolation = None,
    max_isolation: MaxIsolation = None,
    allow_unsafe: AllowUnsafe = False,
    run_dir: Annotated[Path | None, typer.Option(help="Private directory for sockets and work files.")] = None,
    port_file: Annotated[Path | None, typer.Option(help="Write the port here.")] = None,
    parent_pid: Annotated[int | None, typer.Option(help="Stop when this process ends.")] = None,
) -> None:
    """Start the HTTP service, its workers, and an embedded Valkey unless --queue names a server."""
    from code_judge.service import ServeConfig, UnsafeBinding, WorkersRefused
    from code_judge.service import serve as run_service

    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    settings = _settings(min_isolation, max_isolation, allow_unsafe)
    try:
        run_service(ServeConfig(host, port, workers, settings, queue, run_dir, port_file, parent_pid))
    except (UnsafeBinding, WorkersRefused) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def workers(
    queue: Queue = None,
    workers: Workers = _CPUS,
    min_isolation: MinIsolation = None,
    max_isolation: MaxIsolation = None,
    allow_unsafe: AllowUnsafe = False,
) -> None:
    """Start workers for a queue that another process serves."""
    from code_judge.service import WorkersRefused, work

    if queue is None:
        raise typer.BadParameter("workers need --queue (or REDIS_URI): the URL of the queue that `serve` uses")
    _settings(min_isolation, max_isolation, allow_unsafe)
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    try:
        work(queue, workers)
    except WorkersRefused as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
