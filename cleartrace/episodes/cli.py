"""`cleartrace episodes`: bring runs into a store, look at them, take them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cleartrace.episodes.names import Format, Target

if TYPE_CHECKING:
    from cleartrace.episodes.index import Row
    from cleartrace.episodes.store import EpisodeStore

app = typer.Typer(no_args_is_help=True, help="Runs of agents: import, list, show, export.")
EXIT_BAD = 2
MOST_REASONS = 10


Store = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a store.")]
Environment = Annotated[str | None, typer.Option("--environment", help="Only runs in this environment.")]
Task = Annotated[str | None, typer.Option("--task", help="Only runs on this task.")]
Agent = Annotated[str | None, typer.Option("--agent", help="Only runs of this agent.")]


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A log, a run's folder, or another store.")],
    store: Annotated[Path, typer.Option("--store", help="Folder of the store; made where there is none.")],
    format: Annotated[Format | None, typer.Option("--format", help="What SOURCE is; guessed without.")] = None,
    environment: Annotated[str, typer.Option("--environment", help="Name for runs that do not say theirs.")] = "",
    agent: Annotated[str, typer.Option("--agent", help="The same for the agent.")] = "",
) -> None:
    """Read runs of other programs into a store. Doing it twice adds nothing."""
    from cleartrace.episodes.files import StoreError
    from cleartrace.episodes.importers.common import Source
    from cleartrace.episodes.importers.formats import import_into
    from cleartrace.episodes.store import EpisodeStore

    if not source.exists():
        _stop(f"there is nothing at {source}")
    try:
        report = import_into(EpisodeStore(store), Source(source, environment, agent), format)
    except (ValueError, OSError, StoreError) as error:
        _stop(str(error))
    typer.echo(f"{report.added} runs added to {store}, {report.known} known before, {len(report.refused)} refused")
    for refused in report.refused[:MOST_REASONS]:
        typer.echo(f"refused: {refused.where}: {refused.reason}", err=True)
    if (more := len(report.refused) - MOST_REASONS) > 0:
        typer.echo(f"refused: and {more} more", err=True)
    raise typer.Exit(1 if report.refused and not (report.added or report.known) else 0)


@app.command("list")
def list_(
    store: Store,
    environment: Environment = None,
    task: Task = None,
    agent: Agent = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many lines.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List runs: id, task, seed, score or failure."""
    opened = _open(store)
    rows = opened.find(environment=environment, task=task, agent=agent)
    for row in rows[:limit]:
        typer.echo(json.dumps(row._asdict()) if as_json else _line(row))
    if not as_json:
        scored = [row.score for row in rows if row.clean and row.score is not None]
        lost = sum(row.score is None for row in rows)
        mean = f"mean score {sum(scored) / len(scored):.4g} of n = {len(scored)} clean scored runs" if scored else ""
        note = [f"{len(rows)} runs", f"{min(limit, len(rows))} shown", mean, f"{lost} without a score" if lost else ""]
        typer.echo(", ".join(filter(None, note)))


@app.command()
def show(
    store: Store,
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of a run, as `list` says it.")],
    chars: Annotated[int | None, typer.Option("--chars", min=1, help="Cut each step after so many characters.")] = None,
    outcome: Annotated[bool, typer.Option("--outcome", help="Also say how the run was judged.")] = False,
) -> None:
    """Print a run as the agent saw it."""
    from cleartrace.episodes.files import StoreError
    from cleartrace.episodes.render import render
    from cleartrace.trajectory.record import written

    try:
        episode = _open(store).get(id)
    except StoreError as error:
        _stop(str(error))
    typer.echo(written(render(episode.trajectory, chars)), nl=False)
    if outcome:
        typer.echo("\n# Outcome\n\n" + json.dumps(episode.outcome.model_dump(mode="json"), indent=1))


@app.command()
def export(
    store: Store,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write.")],
    target: Annotated[Target, typer.Option("--as", help="Chat rows for supervised tuning, or a table of outcomes.")],
    environment: Environment = None,
    task: Task = None,
    agent: Agent = None,
    min_score: Annotated[float, typer.Option("--min-score", min=0, max=1, help="sft: from this score up.")] = 1.0,
    with_context: Annotated[
        bool, typer.Option("--context/--no-context", help="sft: keep what stood beside the task.")
    ] = True,
) -> None:
    """Write runs for other programs."""
    from cleartrace.episodes.export import export_csv, export_sft
    from cleartrace.episodes.files import StoreError

    opened = _open(store)
    rows = opened.find(environment=environment, task=task, agent=agent)
    try:
        if target is Target.CSV:
            n = export_csv(opened, rows, out)
        else:
            n = export_sft(opened, rows, out, min_score=min_score, with_context=with_context)
    except (OSError, StoreError) as error:
        _stop(str(error))
    typer.echo(f"{n} of {len(rows)} runs written to {out}")


def _open(folder: Path) -> EpisodeStore:
    from cleartrace.episodes.files import StoreError
    from cleartrace.episodes.store import EpisodeStore

    try:
        store = EpisodeStore(folder, create=False)
    except StoreError as error:
        _stop(str(error))
    for reason in store.broken.values():
        typer.echo(f"passed over: {reason}", err=True)
    return store


def _line(row: Row) -> str:
    score = "-" if row.score is None else f"{row.score:.3g}"
    notes = " ".join(filter(None, [row.failure, "" if row.clean else row.kind]))
    return f"{row.id}  {row.environment}/{row.task}  seed {row.seed}  score {score}  {notes}".rstrip()


def _stop(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(EXIT_BAD)
