"""`cleartrace environments list | tasks | validate | install`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cleartrace.environments.validate import Finding
    from cleartrace.episodes.types import Task

app = typer.Typer(no_args_is_help=True, help="Tasks an agent can be run on.")

Name = Annotated[str, typer.Argument(help="As `list` shows it, or module:Class, or file.py:Class.")]
Options = Annotated[list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="Of the environment.")]
Split = Annotated[str | None, typer.Option(help="Only this split.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many tasks, spread over all of them.")]

_CALL_LIMIT_S = 600.0
"""No agent waits here, and a slow machine is not the environment's fault."""


@app.command("list")
def list_environments() -> None:
    """Say which environments there are, and which are ready to use here."""
    from rich.console import Console
    from rich.table import Table

    from cleartrace.environments.install import interpreter
    from cleartrace.environments.registry import MissingPackage, adapters

    table = Table("name", "package", "ready", box=None)
    for adapter in adapters().values():
        try:
            where = interpreter(adapter)
            ready = f"yes, in {Path(where).parents[1]}" if where else "yes"
        except MissingPackage:
            ready = f"no: {adapter.install}"
        table.add_row(adapter.name, adapter.package or "none", ready)
    Console(soft_wrap=True).print(table)


@app.command()
def tasks(name: Name, option: Options = None, split: Split = None, limit: Limit = None) -> None:
    """Print the tasks of an environment, one JSON object a line."""

    async def show() -> None:
        async with _host(name, option) as host:
            for task in _some(await host.tasks(split), limit):
                typer.echo(task.model_dump_json())

    _run(show())


@app.command()
def validate(
    name: Name,
    option: Options = None,
    split: Split = None,
    limit: Limit = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 2,
    seed: int = 0,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="A folder for the findings; the same command goes on with it.")
    ] = None,
) -> None:
    """Check that gold actions pass and an idle agent does not, task by task. Exit status 1 when one fails."""
    from cleartrace.environments.findings import FindingsStore
    from cleartrace.environments.validate import validate as run

    async def check() -> list[Finding]:
        async with _host(name, option) as host:
            chosen = _some(await host.tasks(split), limit)
            with contextlib.ExitStack() as stack:
                store = None
                if out is not None:
                    store = stack.enter_context(FindingsStore(out, {"environment": host.identity, "seed": seed}))
                known = store.known(chosen) if store else {}
                bar = stack.enter_context(typer.progressbar(length=len(chosen), label=name))
                bar.update(len(known))

                def tell(finding: Finding) -> None:
                    if store:
                        store.append(finding)
                    bar.update(1)

                left = [task for task in chosen if task.id not in known]
                known |= {finding.task.id: finding for finding in await run(host, left, seed, concurrency, tell)}
                return [known[task.id] for task in chosen]

    findings = _run(check())
    _print(findings)
    raise typer.Exit(0 if all(finding.verdict.fine for finding in findings) else 1)


@app.command()
def install(
    name: Annotated[str, typer.Argument(help="As `list` shows it.")],
    into: Annotated[
        Path | None, typer.Option(file_okay=False, help="A folder; the user's cache when left out.")
    ] = None,
) -> None:
    """Install the package of an environment, pinned, in a virtual environment of its own, where `Host` finds it."""
    from cleartrace.environments.install import install as run

    try:
        typer.echo(run(name, into, lambda said: typer.echo(said, err=True)))
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def _host(name: str, options: Sequence[str] | None) -> Any:
    from cleartrace.environments.host import Host
    from cleartrace.environments.validate import Echo

    return Host(name, dict(map(_option, options or ())), user=Echo(), call_limit_s=_CALL_LIMIT_S)


def _option(text: str) -> tuple[str, Any]:
    """`name=value`; a value that is JSON is read as such, and any other is text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--option wants NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _run(work: Any) -> Any:
    from cleartrace.data.growing import StoreError
    from cleartrace.environments.protocol import EnvironmentFault

    try:
        return asyncio.run(work)
    except (ValueError, ImportError, EnvironmentFault, StoreError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def _some(tasks: Sequence[Task], limit: int | None) -> list[Task]:
    if limit is None or limit >= len(tasks):
        return list(tasks)
    return [tasks[index * len(tasks) // limit] for index in range(limit)]


def _print(findings: Sequence[Finding]) -> None:
    """A row for each split, and the tasks that are not as they should be."""
    from rich.console import Console
    from rich.table import Table

    from cleartrace.environments.validate import Verdict

    kinds = [kind for kind in Verdict if any(finding.verdict is kind for finding in findings)]
    table = Table("split", "tasks", *(kind.value for kind in kinds), "gold calls", "refused", box=None)
    for split in [*sorted({finding.task.split for finding in findings}), "all"]:
        rows = [finding for finding in findings if split in ("all", finding.task.split)]
        counts = Counter(finding.verdict for finding in rows)
        sums = (sum(finding.gold_calls for finding in rows), sum(finding.refused for finding in rows))
        table.add_row(split, str(len(rows)), *(str(counts[kind]) for kind in kinds), *map(str, sums))
    console = Console(soft_wrap=True)
    console.print(table)
    for finding in findings:
        if not finding.verdict.fine or finding.verdict is Verdict.IDLE_KNOWN:
            note = " ".join(finding.note.split())[:300]
            console.print(f"{finding.task.id}: {finding.verdict.value}. {note}", markup=False, highlight=False)
