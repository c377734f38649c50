"""`cleartrace pairs`: make, mine, check, split and export contrastive pairs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from cleartrace.cli_errors import errors_in_words
from cleartrace.pairs.audit.command import audit
from cleartrace.pairs.budget import Overlong
from cleartrace.pairs.make.cli import app as make_app
from cleartrace.pairs.mine.images import command as image_commands
from cleartrace.pairs.mine.trajectories.command import mine
from cleartrace.pairs.order import OrderPolicy
from cleartrace.pairs.record import Order

app = typer.Typer(no_args_is_help=True, help="Make, mine, check, split and export contrastive pairs.")
app.add_typer(make_app, name="make")
app.command("mine")(mine)
app.command("audit")(audit)
app.command("mine-images")(image_commands.mine_images)
app.command("edit-images")(image_commands.edit_images)

EXIT_PROBLEM = 1

Files = Annotated[list[Path], typer.Argument(help="Files of pairs: JSON lines or parquet.")]
Letters = Annotated[str, typer.Option(help="Names of the two contexts.")]
Issue = Annotated[bool, typer.Option("--include-issue", help="Show the issue inside trajectories.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")]


class Form(str, Enum):
    """What pairs are exported for."""

    SFT = "sft"
    RL = "rl"


def _two_letters(text: str) -> tuple[str, str]:
    letters = [letter.strip() for letter in text.split(",")]
    if len(letters) != 2 or not all(letters) or letters[0] == letters[1]:
        raise ValueError(f"--letters {text}: two different letters with a comma between them are needed")
    return letters[0], letters[1]


@app.command()
def show(
    files: Files,
    id: Annotated[str | None, typer.Option(help="Which pair; without it, the first.")] = None,
    order: Annotated[Order, typer.Option(help="AB: the supporting context first.")] = Order.SUPPORTING_FIRST,
    letters: Letters = "A,B",
    include_issue: Issue = False,
) -> None:
    """Print the prompt of one pair as a model is asked it, and the right letter."""
    from cleartrace.pairs.show import shown

    with errors_in_words(ValueError):
        typer.echo(shown(files, id, order, _two_letters(letters), include_issue))


@app.command()
def check(
    files: Files,
    val: Annotated[list[Path] | None, typer.Option(help="Held-out pairs, which may share no group.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder: resolve the letters and count tokens.")] = None,
    max_prompt_length: Annotated[int, typer.Option(min=1, help="Longest row, in tokens.")] = 32768,
    overlong: Annotated[Overlong, typer.Option(help="What becomes of a longer one.")] = Overlong.DROP,
    letters: Letters = "A,B",
    answer_prefix: Annotated[str, typer.Option(help="auto closes an open thought; none; or text.")] = "auto",
    include_issue: Issue = False,
    chat_template_kwargs: Annotated[str, typer.Option(help='JSON, such as {"enable_thinking": false}.')] = "{}",
    mm_processor_kwargs: Annotated[str, typer.Option(help='JSON, such as {"max_pixels": 1003520}.')] = "{}",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that lies in the model folder.")
    ] = False,
) -> None:
    """Count pairs by source, find missing twins and shared groups; with a model also letters and lengths.

    Exit status 1 when a run with these files would be refused.
    """
    from cleartrace.pairs.check import run
    from cleartrace.pairs.load import EncoderSettings, json_object

    with errors_in_words(ValueError):
        settings = None
        if model is not None:
            settings = EncoderSettings(
                model,
                _two_letters(letters),
                answer_prefix,
                include_issue,
                json_object(chat_template_kwargs),
                json_object(mm_processor_kwargs),
                trust_remote_code,
            )
        fine = run(files, val or [], settings, max_prompt_length, overlong)
    raise typer.Exit(0 if fine else EXIT_PROBLEM)


@app.command()
def split(
    files: Files,
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl and val.jsonl.")],
    val_share: Annotated[float, typer.Option(help="Share of each source that is held out.")] = 0.1,
    seed: Seed = 42,
) -> None:
    """Divide pairs into training and held-out ones that share no group."""
    from cleartrace.pairs.files import read_pairs, write_pairs
    from cleartrace.pairs.split import split_by_group

    with errors_in_words(ValueError):
        parts = split_by_group(read_pairs(files), val_share, seed)
        for name, part in (("train", parts.train), ("val", parts.val)):
            n = write_pairs(out / f"{name}.jsonl", part)
            typer.echo(f"{n:,} pairs in {len({pair.group for pair in part}):,} groups: {out / name}.jsonl")


@app.command()
def export(
    form: Annotated[Form, typer.Argument(help="sft: conversations for SFT. rl: tasks for GRPO.")],
    files: Files,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    order: Annotated[OrderPolicy, typer.Option(help="How the order of contexts is chosen.")] = OrderPolicy.RANDOM,
    letters: Letters = "A,B",
    prefill: Annotated[str, typer.Option(help="sft: text before the letter.")] = "",
    include_issue: Issue = False,
    seed: Seed = 42,
) -> None:
    """Write pairs as ordinary training data, with the prompts of the contrastive run byte for byte."""
    from cleartrace.pairs.export import export_rl, export_sft
    from cleartrace.pairs.files import read_pairs

    with errors_in_words(ValueError):
        if prefill and form is Form.RL:
            raise ValueError("--prefill is for sft only: in RL the model writes everything itself")
        pairs, named = read_pairs(files), _two_letters(letters)
        if form is Form.SFT:
            n = export_sft(
                pairs, out, policy=order, seed=seed, letters=named, prefill=prefill, include_issue=include_issue
            )
        else:
            n = export_rl(pairs, out, policy=order, seed=seed, letters=named, include_issue=include_issue)
    typer.echo(f"{n:,} rows of {len(pairs):,} pairs: {out}")
