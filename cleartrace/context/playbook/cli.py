"""`cleartrace playbook`: look at playbooks, compare, merge, check, shorten and convert them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from cleartrace.context.playbook import cli_edit
from cleartrace.context.playbook.cli_shared import EXIT_PROBLEM, File, Json, errors_in_words, load, print_json

app = typer.Typer(no_args_is_help=True, help="Look at playbooks, compare, merge, check, shorten and convert them.")


class ViewName(str, Enum):
    """Whose view of a playbook is printed."""

    TABLE = "table"
    AGENT = "agent"
    REFLECTOR = "reflector"
    MUTATOR = "mutator"


@app.command()
def show(
    file: File,
    view: Annotated[ViewName, typer.Option(help="table, or the text as that reader gets it.")] = ViewName.TABLE,
    cap: Annotated[int | None, typer.Option(min=0, help="Most tokens of the text; what has no room is named.")] = None,
    as_json: Json = False,
) -> None:
    """Print a playbook: its entries with counts and origin, or the text that an agent reads."""
    from cleartrace.context.playbook.render import View, render
    from cleartrace.context.playbook.tables import print_entries

    with errors_in_words():
        if cap is not None and view is ViewName.TABLE:
            raise ValueError("--cap shortens a text: add --view agent, reflector or mutator")
        playbook = load(file)
        if view is ViewName.TABLE:
            print_json(playbook.model_dump(mode="json")) if as_json else print_entries(playbook)
            return
        rendered = render(playbook, View(view.value), cap)
        if as_json:
            left_out = [part.id for part in rendered.left_out]
            print_json({"text": rendered.text, "tokens": rendered.tokens, "left_out": left_out})
            return
        typer.echo(rendered.text)
        if rendered.left_out:
            typer.echo(f"no room for {', '.join(part.id for part in rendered.left_out)}", err=True)


@app.command()
def history(
    file: File,
    entry: Annotated[str | None, typer.Argument(help="Id of one entry; without it, all ever rewritten.")] = None,
    origin: Annotated[
        str | None,
        typer.Option("--from", help="Id of a task or an episode: entries that any of their texts came from."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what entries said before, what each text earned, and which failures it came from."""
    from cleartrace.context.playbook.provenance import came_from
    from cleartrace.context.playbook.tables import print_history

    with errors_in_words():
        playbook = load(file)
        entries = playbook.entries
        if entry is not None:
            entries = tuple(one for one in entries if one.id == entry)
            if not entries:
                there = ", ".join(one.id for one in playbook.entries) or "none"
                raise ValueError(f"{file} has no entry {entry}; it has {there}")
        if origin is not None:
            entries = tuple(one for one in entries if came_from(one, origin))
        elif entry is None:
            entries = tuple(one for one in entries if one.history)
    print_json([one.model_dump(mode="json") for one in entries]) if as_json else print_history(entries)


@app.command("diff")
def diff_command(
    old: Annotated[Path, typer.Argument(help="Playbook before.")],
    new: Annotated[Path, typer.Argument(help="Playbook after.")],
    as_json: Json = False,
) -> None:
    """Say which entries were added, removed, rewritten, moved or counted."""
    from cleartrace.context.playbook.diff import diff
    from cleartrace.context.playbook.tables import print_diff

    with errors_in_words():
        change = diff(load(old), load(new))
    print_json(change.model_dump(mode="json")) if as_json else print_diff(change)


@app.command("lint")
def lint_command(
    file: File,
    tasks: Annotated[
        Path | None, typer.Option(help="JSON lines with input, answer, id, group: what no entry may give away.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=0, help="Longest entry; 0 for no limit.")] = 200,
    patience: Annotated[int, typer.Option(min=0, help="Iterations an entry may go without helping; 0: any.")] = 5,
    as_json: Json = False,
) -> None:
    """Find duplicates, contradictions, entries too long or never helpful, and leaks. Exit status 1 for any finding."""
    from cleartrace.context.playbook.leak_files import load_secrets
    from cleartrace.context.playbook.lint import LintOptions, lint
    from cleartrace.context.playbook.tables import print_findings

    with errors_in_words():
        secrets = tuple(load_secrets(tasks)) if tasks else ()
        findings = lint(load(file), LintOptions(max_tokens=max_tokens, patience=patience, secrets=secrets))
    print_json([one.model_dump(mode="json") for one in findings]) if as_json else print_findings(findings)
    raise typer.Exit(EXIT_PROBLEM if findings else 0)


app.command("merge")(cli_edit.merge)
app.command("prune")(cli_edit.prune)
app.command("compact")(cli_edit.compact)
app.command("export")(cli_edit.export)
app.command("import")(cli_edit.import_)
