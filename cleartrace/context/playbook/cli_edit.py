"""The playbook commands that write files."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cleartrace.context.playbook.cli_shared import (
    EXIT_PROBLEM,
    File,
    Json,
    Out,
    errors_in_words,
    load,
    print_json,
    save,
)

if TYPE_CHECKING:
    from cleartrace.context.playbook.compact import Removed
    from cleartrace.context.playbook.types import Playbook


class SideName(str, Enum):
    """Whose version stands in a conflict."""

    OURS = "ours"
    THEIRS = "theirs"


def merge(
    base: Annotated[Path, typer.Argument(help="Playbook that both sides began with.")],
    ours: Annotated[Path, typer.Argument(help="Playbook of one side.")],
    theirs: Annotated[Path, typer.Argument(help="Playbook of the other.")],
    out: Out = None,
    prefer: Annotated[SideName | None, typer.Option(help="Whose version stands where both changed one thing.")] = None,
    as_json: Json = False,
) -> None:
    """Join what two sides did to one playbook. Exit status 1, and no file, where they conflict without --prefer."""
    from cleartrace.context.playbook.merge import merge as merged_of
    from cleartrace.context.playbook.merge_entries import Side
    from cleartrace.context.playbook.tables import print_merged

    with errors_in_words():
        merged = merged_of(load(base), load(ours), load(theirs), Side(prefer.value) if prefer else Side.OURS)
        if as_json:
            conflicts = [
                {"where": one.where, "what": one.what, "ours": _plain(one.ours), "theirs": _plain(one.theirs)}
                for one in merged.conflicts
            ]
            print_json({"conflicts": conflicts, "renamed": {side.value: ids for side, ids in merged.renamed.items()}})
        else:
            print_merged(merged)
        if merged.conflicts and prefer is None:
            typer.echo("nothing was written: mend the conflicts, or say --prefer ours or theirs", err=True)
            raise typer.Exit(EXIT_PROBLEM)
        save(merged.playbook, out, as_json)


def prune(
    file: File,
    threshold: Annotated[int, typer.Option(min=1, help="How much more often harmful than helpful.")],
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Remove entries that did more harm than good."""
    from cleartrace.context.playbook.counts import prune as pruned_of
    from cleartrace.context.playbook.tables import print_removed

    with errors_in_words():
        pruned = pruned_of(load(file), threshold)
        if as_json:
            print_json({"removed": [one.model_dump(mode="json") for one in pruned.removed]})
        else:
            print_removed(((one, f"harm is {threshold} or more ahead") for one in pruned.removed), len(pruned.playbook))
        save(pruned.playbook, out, as_json)


def compact(
    file: File,
    cap: Annotated[int, typer.Option(min=0, help="Most tokens of the text that an agent reads.")],
    merge_with: Annotated[
        str | None, typer.Option(help="Model that first joins near duplicates, such as openai/NAME@URL.")
    ] = None,
    threshold: Annotated[int, typer.Option(min=0, help="First remove what pruning at this threshold would.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the model.")] = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Bring a playbook under a budget of tokens, the least valuable entries first."""
    from cleartrace.context.playbook.compact import compact as compacted_of
    from cleartrace.context.playbook.tables import print_removed

    with errors_in_words():
        playbook = load(file)
        joined: list[Removed] = []
        if merge_with:
            playbook, joined = _joined(playbook, merge_with, seed)
        done = compacted_of(playbook, cap, prune_threshold=threshold)
        removed = [*joined, *done.removed]
        if as_json:
            rows = [{"entry": one.entry.model_dump(mode="json"), "reason": one.reason} for one in removed]
            print_json({"removed": rows, "tokens": done.tokens})
        else:
            print_removed(((one.entry, one.reason) for one in removed), len(done.playbook))
            typer.echo(f"{done.tokens:,} tokens")
        save(done.playbook, out, as_json)


def export(
    file: File,
    published: Annotated[bool, typer.Option("--published", help="JSON of version 1.0, as RCL publishes it.")] = False,
    ace: Annotated[bool, typer.Option("--ace", help="Lines as ACE writes them.")] = False,
    text: Annotated[bool, typer.Option("--text", help="The text that an agent reads.")] = False,
    out: Annotated[Path | None, typer.Option(help="File to write; without it, print.")] = None,
) -> None:
    """Write a playbook for another program."""
    from cleartrace.context.playbook import ace as ace_form
    from cleartrace.context.playbook.files import published as published_form
    from cleartrace.context.playbook.render import render
    from cleartrace.data.files import whole_file

    with errors_in_words():
        if published + ace + text != 1:
            raise ValueError("say one of --published, --ace and --text")
        playbook = load(file)
        if published:
            content = json.dumps(published_form(playbook), ensure_ascii=False, indent=1)
        else:
            content = ace_form.to_ace(playbook) if ace else render(playbook).text
        content = content.rstrip("\n") + "\n"
        if out is None:
            typer.echo(content, nl=False)
            return
        with whole_file(out) as partial:
            partial.write_text(content, encoding="utf-8", newline="\n")
        typer.echo(f"{len(playbook):,} entries: {out}")


def import_(
    file: Annotated[Path, typer.Argument(help="A published playbook (JSON), or one of ACE (text).")],
    out: Annotated[Path, typer.Option(help="Playbook to write.")],
) -> None:
    """Read a playbook of another program."""
    from cleartrace.context.playbook.ace import read_ace
    from cleartrace.context.playbook.files import save

    with errors_in_words():
        text = file.read_text(encoding="utf-8-sig")
        playbook = load(file) if text.lstrip().startswith("{") else read_ace(text, file)
        if not playbook.entries and text.strip() and not text.lstrip().startswith("{"):
            raise ValueError(f"{file}: no entry was found in it")
        save(playbook, out)
        typer.echo(f"{len(playbook):,} entries: {out}")


def _joined(playbook: Playbook, model: str, seed: int) -> tuple[Playbook, list[Removed]]:
    """(the playbook with near duplicates joined by a model, entries that went into others)."""
    import asyncio

    from cleartrace.context.playbook.compact import Removed, merge_similar
    from cleartrace.llm.connect import connect

    async def run() -> tuple[Playbook, list[Removed]]:
        llm = connect(model)
        try:
            done = await merge_similar(playbook, llm, seed)
        finally:
            await llm.close()
        gone = [
            Removed(entry, f"joined into {change.changed[0]}") for change in done.applied for entry in change.removed
        ]
        return done.playbook, gone

    return asyncio.run(run())


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
