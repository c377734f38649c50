"""`cleartrace context abstention`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cleartrace.episodes.types import Task
    from cleartrace.evaluate.context.arm import Arm


def abstention(
    without: Annotated[Path, typer.Argument(help="Folder of the arm without context.")],
    with_context: Annotated[
        Path | None, typer.Argument(help="Folder of the arm with context. Without it, rates are written.")
    ] = None,
    out: Annotated[Path, typer.Option(help="rates.json, or effects.jsonl where two arms are given.")] = Path("out"),
) -> None:
    """Write what `abstain:FILE` reads, from evaluations on tasks that are never reported on, such as train."""
    from cleartrace.data.errors import DataError
    from cleartrace.environments.protocol import EnvironmentFault
    from cleartrace.evaluate.context.abstention import write_effects, write_rates
    from cleartrace.evaluate.context.run import load_arm

    suffix = ".json" if with_context is None else ".jsonl"
    try:
        if out.suffix != suffix:
            raise ValueError(f"--out is a {suffix} file here, not {out}")
        base = load_arm(without)
        if with_context is None:
            count = write_rates(base, out)
        else:
            count = write_effects(base, load_arm(with_context), asyncio.run(_tasks(base)), out)
    except (DataError, EnvironmentFault, ValueError, ImportError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{out}: {count} tasks")


async def _tasks(arm: Arm) -> list[Task]:
    """An arm knows its tasks by name; their texts are the environment's."""
    from cleartrace.environments.host import Host

    manifest = arm.manifest
    async with Host(manifest.environment, manifest.environment_options) as host:
        return await host.tasks(manifest.split)
