"""The command line."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from code_judge.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Runs model-written programs.")

Queue = Annotated[str | None, typer.Option(help="Redis-protocol URL.", envvar=["CODE_JUDGE_QUEUE_URL", "REDIS_URI"])]
Workers = Annotated[int, typer.Option(help="Programs run at the same time.", envvar="MAX_WORKERS", min=0)]
_CPUS = os.cpu_count() or 1
_LOG_FORMAT = "%(asctime)s %(name)s %(process)d %(levelname)s %(message)s"


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Beyond loopback a token (CODE_JUDGE_TOKEN) is required.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8088,
    workers: Workers = _CPUS,
    queue: Queue = None,
    run_dir: Annotated[Path | None, typer.Option(help="Private directory for sockets and work files.")] = None,
    port_file: Annotated[Path | None, typer.Option(help="Write the port here.")] = None,
    parent_pid: Annotated[int | None, typer.Option(help="Stop when this process ends.")] = None,
) -> None:
    """Start the HTTP service, its workers, and an embedded Valkey unless --queue names a server."""
    from code_judge.service import ServeConfig, UnsafeBinding
    from code_judge.service import serve as run_service

    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT)
    settings = Settings.from_env()
    try:
        run_service(ServeConfig(host, port, workers, settings, queue, run_dir, port_file, parent_pid))
    except UnsafeBinding as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def workers(queue: Queue = None, workers: Workers = _CPUS) -> None:
    """Start workers for a queue that another process serves."""
    from code_judge.service import work

    if queue is None:
        raise typer.BadParameter("workers need --queue (or REDIS_URI): the URL of the queue that `serve` uses")
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT)
    work(queue, workers)


@app.command(hidden=True)
def supervise(slots: int = 1, run_dir: Path | None = None, queue: Queue = None) -> None:
    """One worker process; started by `serve` and `workers`."""
    from code_judge.supervisor import WorkerConfig, run_supervisor

    if queue is None:
        raise typer.BadParameter("CODE_JUDGE_QUEUE_URL is not set")
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT)
    # Nothing below this process needs them, and a forked run must not even briefly hold them in its environment.
    for name in ("CODE_JUDGE_QUEUE_URL", "REDIS_URI", "CODE_JUDGE_TOKEN"):
        os.environ.pop(name, None)
    run_supervisor(WorkerConfig(queue, slots, Settings.from_env(), run_dir))
