"""`cleartrace pairs make scenes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cleartrace.pairs.make.scenes.domain import Domain


def scenes(
    out: Annotated[Path, typer.Argument(help="File of pairs to write; pictures go to a folder beside it.")],
    count: Annotated[
        int, typer.Option("--scenes", min=1, help="Scenes to edit; each gives a pair in both directions.")
    ],
    seed: Annotated[int, typer.Option(help="Of the scenes and of their edits.")] = 0,
    domain: Annotated[list[Domain] | None, typer.Option(help="Kind of scene; repeat it for several.")] = None,
    collection: Annotated[
        bool, typer.Option("--collection", help="Write questions for `mine-images` in the place of pairs.")
    ] = False,
) -> None:
    """Draw scenes in five domains, and draw each again with one parameter and its answer changed."""
    from cleartrace.pairs.make.scenes.collection import TooFewScenes, make_collection, make_scene_pairs
    from cleartrace.pairs.mine.images.shown import counting, show_funnel

    domains = domain or list(Domain)
    try:
        if collection:
            typer.echo(f"{out}: {make_collection(out, count, seed, domains)} questions")
            return
        with counting("scenes", count) as progress:
            funnel = make_scene_pairs(out, count, seed, domains, progress)
    except (TooFewScenes, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    show_funnel(out, funnel)
