"""`cleartrace needle`: make a grid of long-context cases, and score the answers of any model to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cleartrace.cli_errors import errors_in_words
from cleartrace.needle.haystack import Filler
from cleartrace.needle.tasks import NeedleKind

app = typer.Typer(no_args_is_help=True, help="Needle in a haystack: a grid of cases, and exact-match scores.")


@app.command()
def make(
    out: Annotated[Path, typer.Argument(help="JSON lines file of cases to write.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="Model folder whose tokenizer measures lengths; without, lengths are words.")
    ] = None,
    kind: Annotated[list[NeedleKind] | None, typer.Option(help="Kind of needle. May be given again.")] = None,
    shortest: Annotated[int, typer.Option(help="Shortest user message.")] = 1_000,
    longest: Annotated[int, typer.Option(help="Longest user message.")] = 32_000,
    lengths: Annotated[int, typer.Option(help="How many lengths.")] = 15,
    depths: Annotated[int, typer.Option(help="How many depths, from the start to the end.")] = 10,
    repeats: Annotated[int, typer.Option(help="Cases per length and depth.")] = 1,
    filler: Annotated[Filler, typer.Option(help="What the haystack is made of.")] = Filler.DOCS,
    seed: Annotated[int, typer.Option(help="Seed of needles and filler.")] = 0,
) -> None:
    """Write the cases: `id`, chat `messages`, `answers`. Answer each with `{"id": ..., "response": ...}`."""
    from cleartrace.data.files import write_json_lines
    from cleartrace.needle.grid import Grid, make_cases
    from cleartrace.needle.haystack import count_words, token_counter

    with errors_in_words(ValueError, FileNotFoundError):
        kinds = tuple(dict.fromkeys(kind or [NeedleKind.SINGLE]))
        grid = Grid(kinds, shortest, longest, lengths, depths, repeats, filler, seed)
        count = token_counter(tokenizer) if tokenizer else count_words
        n = write_json_lines(out, (case.model_dump(mode="json") for case in make_cases(grid, count)))
    typer.echo(f"{n} cases of {shortest} to {longest} {'tokens' if tokenizer else 'words'}: {out}")


@app.command()
def score(
    cases: Annotated[Path, typer.Argument(help="Cases, as `make` writes them.")],
    responses: Annotated[Path, typer.Argument(help='JSON lines with "id" and "response".')],
    out: Annotated[Path, typer.Option("--out", help="Folder for scores.csv and heat_map.svg.")],
    title: Annotated[str, typer.Option(help="Title of the picture, e.g. the model's name.")] = "",
) -> None:
    """Score responses by exact match and draw the heat map."""
    from cleartrace.needle.files import write_scores
    from cleartrace.needle.score import cells, read_cases, read_responses, score_cases

    with errors_in_words(ValueError, FileNotFoundError):
        found = cells(score_cases(read_cases(cases), read_responses(responses)))
        picture = write_scores(out, found, title)
    for kind in dict.fromkeys(cell.kind for cell in found):
        own = [cell for cell in found if cell.kind is kind]
        n = sum(cell.n for cell in own)
        exact, share = sum(c.exact * c.n for c in own) / n, sum(c.found * c.n for c in own) / n
        typer.echo(f"{kind.value}: exact {exact:.1%}, found {share:.1%}, n = {n}")
    typer.echo(picture)
