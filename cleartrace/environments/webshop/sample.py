"""Draws the items of a smaller shop, 40,000 by default: `python -m cleartrace.environments.webshop.sample`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.data.errors import DataError
from cleartrace.data.files import whole_file


def sample(products: list[dict[str, Any]], n: int, seed: int) -> list[dict[str, Any]]:
    """`n` products with different numbers, in the order of the file.

    Raises: ValueError where there are fewer.
    """
    first: dict[str, int] = {}
    for number, product in enumerate(products):
        first.setdefault(str(product["asin"]), number)
    if n > len(first):
        raise ValueError(f"there are {len(first)} products, and {n} are wanted")
    chosen = random.Random(f"{seed}:webshop:items").sample(sorted(first.values()), n)
    return [products[number] for number in sorted(chosen)]


def write_sample(source: Path, out: Path, n: int = 40_000, seed: int = 0) -> None:
    """Errors: `DataError` for what is no file of products."""
    try:
        products = json.loads(source.read_text(encoding="utf-8"))
        drawn = sample(products, n, seed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(source, f"not a file of WebShop's products, or too small ({error})") from None
    with whole_file(out) as partial:
        partial.write_text(json.dumps(drawn), encoding="utf-8")


def main(
    source: Annotated[Path, typer.Argument(help="The shop's items_shuffle.json.")],
    out: Annotated[Path, typer.Option(help="File for the drawn products, in the same format.")],
    n: Annotated[int, typer.Option(min=1, help="Products.")] = 40_000,
    seed: int = 0,
) -> None:
    """Draw the products of a smaller WebShop."""
    try:
        write_sample(source, out, n, seed)
    except DataError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{out}: {n} products")


if __name__ == "__main__":
    typer.run(main)
