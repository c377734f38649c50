"""`cleartrace rollout-serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.agents.workplace import AgentConfig
from cleartrace.flags import with_flags


@with_flags(AgentConfig, leave_out=("environment",))
def rollout_serve(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Environment, e.g. ruleworld.")],
    out: Annotated[Path, typer.Option(help="Folder of results, and of what was accepted and is not done.")],
    results: Annotated[str, typer.Option(help="Another place of results: s3://BUCKET, s3://, file:///folder.")] = "",
    context: Annotated[
        str, typer.Option(help="Context for requests that bring none, as `context eval` takes it.")
    ] = "none",
    cap: Annotated[int | None, typer.Option(min=1, help="Tokens that it may have.")] = None,
    allow_url: Annotated[
        list[str] | None, typer.Option(help="Beginning of addresses beyond loopback that a request may name.")
    ] = None,
    host: Annotated[str, typer.Option(help="Beyond loopback only with CLEARTRACE_ROLLOUT_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    waiting: Annotated[int, typer.Option(min=1, help="Rollouts that may wait; further ones get status 429.")] = 10_000,
    *,
    given: dict[str, Any],
) -> None:
    """Run tasks for a trainer over HTTP: POST /invocations now, a JSON result later, as AgentCore's toolkit does."""
    from cleartrace.agents.rollout_endpoint.command import Options
    from cleartrace.agents.rollout_endpoint.command import rollout_serve as run
    from cleartrace.agents.workplace import WorkplaceError

    options = Options(out, results, context, cap, tuple(allow_url or ()), host, port, waiting)
    try:
        run({"environment": environment, **given}, options)
    except WorkplaceError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
