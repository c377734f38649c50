"""`cleartrace context serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    context: Annotated[str, typer.Option(help="Provider, e.g. model:openai/cam@http://127.0.0.1:8001/v1.")],
    upstream: Annotated[str, typer.Option(help="Endpoint of the agent's model, e.g. http://127.0.0.1:8000/v1.")],
    environment: Annotated[
        str, typer.Option(help="What the provider is told of where tasks come from: the name a model was trained with.")
    ] = "chat",
    cap: Annotated[int | None, typer.Option(min=1, help="Tokens that a context may have.")] = None,
    seed: Annotated[int, typer.Option(help="Of every context.")] = 0,
    host: Annotated[str, typer.Option(help="Beyond loopback only with CLEARTRACE_CONTEXT_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    key_env: Annotated[
        str, typer.Option(help="Variable that holds the upstream's key. Without, a client's own key is passed on.")
    ] = "",
    log: Annotated[Path | None, typer.Option(help="JSON lines: what each conversation was given.")] = None,
    optional: Annotated[
        bool, typer.Option("--optional", help="Go on without context where a provider fails, instead of refusing.")
    ] = False,
) -> None:
    """Put context in front of any OpenAI client: a proxy that adds it to the first message of each conversation."""
    from cleartrace.context.middleware.command import Settings, serve_context
    from cleartrace.data.errors import DataError
    from cleartrace.serving import NotServed

    settings = Settings(context, upstream, environment, cap, seed, host, port, key_env, log, not optional)
    try:
        serve_context(settings)
    except (NotServed, DataError, ValueError, ImportError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
