"""`cleartrace pairs audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def audit(
    files: Annotated[list[Path], typer.Argument(help="Files of pairs: JSON lines or parquet.")],
    card: Annotated[Path | None, typer.Option(help="Write the data card to this JSON file.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
) -> None:
    """Try to tell the right context without reading. Exit status 1 when a shortcut beats chance."""
    from cleartrace.pairs.audit.card import data_card, write_card
    from cleartrace.pairs.audit.shortcuts import score_all
    from cleartrace.pairs.audit.shown import print_facts, print_scores
    from cleartrace.pairs.files import read_pairs

    try:
        pairs = read_pairs(files)
        scores = score_all(pairs, seed)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    made = data_card(files, pairs, scores)
    print_facts(made)
    print_scores(scores)
    if card is not None:
        write_card(card, made)
        typer.echo(f"card: {card}")
    raise typer.Exit(0 if all(score.at_chance or score.accuracy < 0.5 for score in scores) else 1)
