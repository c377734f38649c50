"""`cleartrace data`: fetch, prepare, validate and filter data sets. Subcommands import what they need when they run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from cleartrace.cli_errors import errors_in_words
from cleartrace.data.names import Arms, Profile, PublishedSet

app = typer.Typer(no_args_is_help=True, help="Fetch, prepare, validate and filter data sets.")

_Stats = Annotated[Path, typer.Option("--stats", help="Success statistics, one JSON object a line.")]
_Dataset = Annotated[Path, typer.Option("--dataset", help="Parquet file the statistics belong to.")]


def _errors_in_words() -> AbstractContextManager[None]:
    from cleartrace.data.errors import DataError
    from cleartrace.data.hub import FetchError

    return errors_in_words(DataError, FetchError)


@app.command()
def fetch(
    names: Annotated[list[PublishedSet], typer.Argument(help="Which published sets.")],
    output_dir: Annotated[Path, typer.Option(help="Folder the files are put in.")] = Path("data/raw"),
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of the data set.")] = "main",
    copy_from: Annotated[
        Path | None, typer.Option("--from", help="Copy from this folder in place of the hub.", file_okay=False)
    ] = None,
    force: Annotated[bool, typer.Option(help="Fetch again what is there.")] = False,
) -> None:
    """Fetch published sets from the Hugging Face hub (HF_ENDPOINT and HF_TOKEN are read from the environment)."""
    from cleartrace.data.hub import FILES
    from cleartrace.data.hub import fetch as fetch_file

    with _errors_in_words():
        for name in names:
            file = FILES[name]
            done = fetch_file(file, output_dir, revision=revision, copy_from=copy_from, force=force)
            typer.echo(f"{done.path}: {done.rows:,} rows{'' if done.new else ', was there already'}")
            if file.prepare:
                typer.echo(f"  next: cleartrace data prepare {file.prepare.format(file=done.path)}")


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Parquet file of a published set.")],
    target: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    profile: Annotated[Profile | None, typer.Option(help="Profile of every row.")] = None,
    profile_column: Annotated[
        str, typer.Option(help="Column that names each row's profile, e.g. extra_info.profile.")
    ] = "",
    arms: Annotated[Arms, typer.Option(help="Agents that run the rows: train, or off/on/both for evaluation.")] = (
        Arms.TRAIN
    ),
    agent_name: Annotated[str, typer.Option(help="Another agent loop, in place of --arms.")] = "",
    data_source: Annotated[str, typer.Option(help="Source of a file that has no such column.")] = "",
    wording: Annotated[Path | None, typer.Option(help="YAML file with sentences of your own.")] = None,
) -> None:
    """Write the rows veRL reads: prompts, answer keys, stable ids, agents."""
    from cleartrace.data.prepare import Plan
    from cleartrace.data.prepare import prepare as prepare_file
    from cleartrace.data.wording import load_wording

    with _errors_in_words():
        agents = (agent_name,) if agent_name else arms.agents
        plan = Plan(profile, profile_column, data_source, agents, load_wording(wording))
        done = prepare_file(source, target, plan)
    typer.echo(f"{target}: {done.rows:,} rows for {', '.join(agents)}")
    for name, count in done.sources.most_common():
        typer.echo(f"  {count:>7,}  {name}")


@app.command("attach-ids")
def attach_ids(
    stats: _Stats,
    dataset: _Dataset,
    output: Annotated[Path, typer.Option(help="JSON lines file to write.")],
) -> None:
    """Give the published statistics, which name rows by number, the ids that survive a shuffle."""
    from cleartrace.data.statistics import write_attached

    with _errors_in_words():
        n = write_attached(stats, dataset, output)
    typer.echo(f"{output}: {n:,} lines")


@app.command("filter")
def filter_rows(
    stats: _Stats,
    dataset: _Dataset,
    output_dir: Annotated[Path, typer.Option("--output_dir", "--output-dir", help="filtered_sr.parquet goes here.")],
    ratios: Annotated[
        str,
        typer.Option(
            "--success_rate_ratios",
            "--success-rate-ratios",
            help="rate:share,... or nine shares for 0/8 to 8/8; a rate without a share keeps all its rows.",
        ),
    ] = "",
    retain_code: Annotated[
        bool, typer.Option("--retain_code", "--retain-code", help="Thin rows that ask for programs at rate 0 only.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    legacy_draw: Annotated[bool, typer.Option("--legacy-draw", help="The published draw, by row order.")] = False,
) -> None:
    """Keep a share of the rows of each success rate."""
    from cleartrace.data.filter import filter_file
    from cleartrace.data.selection import Rule, parse_ratios
    from cleartrace.data.tables import print_selection

    try:
        rule = Rule(parse_ratios(ratios), retain_code, seed, legacy_draw)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--success_rate_ratios") from None
    with _errors_in_words():
        target, selection = filter_file(stats, dataset, output_dir, rule)
    print_selection(selection)
    typer.echo(f"wrote {target}")


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Parquet files in veRL's columns.")],
    tokenizer: Annotated[Path | None, typer.Option(help="Folder of a tokenizer: count the tokens of prompts.")] = None,
    max_prompt_tokens: Annotated[int, typer.Option(min=1, help="Longest prompt a run takes.")] = 2560,
    tools: Annotated[bool, typer.Option(help="Count the schema of the tool, as a run with the tool does.")] = True,
    grade: Annotated[bool, typer.Option(help="Grade the gold and the empty answer of every row.")] = True,
    judge_url: Annotated[
        str, typer.Option(help="Judge that runs programs; without one, a judge is started. Token: CODE_JUDGE_TOKEN.")
    ] = "",
    first_rows: Annotated[int, typer.Option(min=0, help="Look at so many rows of each file; 0: all.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON lines file for all findings.")] = None,
) -> None:
    """Check every row: columns, gold answer, empty answer, tests, repeats, length. Exit status 1 when one fails."""
    from cleartrace.data.validate_command import run

    with _errors_in_words():
        raise typer.Exit(run(files, tokenizer, max_prompt_tokens, tools, grade, judge_url, first_rows, output))
