"""`cleartrace clear`: guidance from contrasted runs, and a model that learns to write it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.agents.workplace import AgentConfig
from cleartrace.flags import with_flags
from cleartrace.learn.clear.commands import register
from cleartrace.learn.clear.reward.options import RewardRules

app = typer.Typer(no_args_is_help=True, help="Learn to write guidance: collect, reflect, train, reward.")
EXIT_SETTINGS = 2
register(app)


class ServeSettings(AgentConfig, RewardRules):
    """Who is run, and how what they do is rewarded."""


@app.command("reward-serve")
@with_flags(ServeSettings, leave_out=("environment",))
def reward_serve(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Environment, e.g. ruleworld.")],
    store: Annotated[Path, typer.Option(help="Folder of runs; one that it holds is not made again.")],
    host: Annotated[str, typer.Option(help="Beyond loopback only with CLEARTRACE_GUIDANCE_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    *,
    given: dict[str, Any],
) -> None:
    """Score guidance for GRPO by running the agent with it."""
    from cleartrace.agents.workplace import WorkplaceError
    from cleartrace.learn.clear.reward.command import reward_serve as run
    from cleartrace.serving import NotServed

    try:
        run(environment, store, host, port, given)
    except (WorkplaceError, NotServed) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
