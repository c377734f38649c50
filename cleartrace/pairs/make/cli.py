"""`cleartrace pairs make`: pairs from generators that need no network and no model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cleartrace.cli_errors import errors_in_words
from cleartrace.needle.haystack import Filler
from cleartrace.needle.tasks import NeedleKind
from cleartrace.pairs.make.mutation.command import mutation
from cleartrace.pairs.make.rule_families import RuleFamily
from cleartrace.pairs.make.scenes.command import scenes

app = typer.Typer(no_args_is_help=True, help="Generate pairs: test beds that need no network and no model.")
app.command("mutation")(mutation)
app.command("scenes")(scenes)

Out = Annotated[Path, typer.Argument(help="File of pairs to write: .jsonl or .parquet.")]
Groups = Annotated[int, typer.Option(help="Questions; each gives two pairs, one per direction.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]


@app.command()
def rules(
    out: Out,
    groups: Groups = 500,
    family: Annotated[list[RuleFamily] | None, typer.Option(help="Kind of question. May be given again.")] = None,
    level: Annotated[int, typer.Option(min=1, max=3, help="1 easy to 3 hard: how much a context holds.")] = 2,
    seed: Seed = 0,
) -> None:
    """Write short pairs about facts, rules, traces, events and sums."""
    from cleartrace.pairs.files import write_pairs
    from cleartrace.pairs.make.rules import make_rules

    with errors_in_words(ValueError, FileNotFoundError):
        families = tuple(dict.fromkeys(family or RuleFamily))
        n = write_pairs(out, make_rules(groups, seed=seed, families=families, level=level))
    typer.echo(f"{n} pairs in {groups} groups: {out}")


@app.command()
def needle(
    out: Out,
    groups: Groups = 200,
    length: Annotated[int, typer.Option(help="Longest context, in tokens (without --tokenizer: words).")] = 2_000,
    tokenizer: Annotated[Path | None, typer.Option(help="Model folder whose tokenizer measures lengths.")] = None,
    kind: Annotated[list[NeedleKind] | None, typer.Option(help="Kind of needle. May be given again.")] = None,
    filler: Annotated[Filler, typer.Option(help="What the haystack is made of.")] = Filler.DOCS,
    seed: Seed = 0,
) -> None:
    """Write long pairs: the same haystack twice, with other values in the needles."""
    from cleartrace.needle.haystack import count_words, token_counter
    from cleartrace.pairs.files import write_pairs
    from cleartrace.pairs.make.needle import make_needle_pairs

    with errors_in_words(ValueError, FileNotFoundError):
        count = token_counter(tokenizer) if tokenizer else count_words
        kinds = tuple(dict.fromkeys(kind or NeedleKind))
        made = make_needle_pairs(groups, length=length, kinds=kinds, seed=seed, filler=filler, count=count)
        n = write_pairs(out, made)
    typer.echo(f"{n} pairs in {groups} groups: {out}")
