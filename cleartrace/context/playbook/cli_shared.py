"""What all playbook commands share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cleartrace.context.playbook.types import Playbook

EXIT_PROBLEM, EXIT_SETTINGS = 1, 2

File = Annotated[Path, typer.Argument(help="Playbook: ours, or a published one of version 1.0.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Out = Annotated[Path | None, typer.Option(help="File to write. Without it, only say what would be done.")]


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Turn what the user can mend into one message and exit status 2."""
    from cleartrace.llm.protocol import LLMError

    try:
        yield
    except (ValueError, OSError, LLMError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from None


def load(path: Path) -> Playbook:
    """Errors: `DataError`."""
    from cleartrace.context.playbook.files import load

    return load(path)


def print_json(value: Any) -> None:
    """Indented, and text as it is."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def save(playbook: Playbook, out: Path | None, quiet: bool) -> None:
    """Write `out` if there is one, and say so unless `quiet`."""
    from cleartrace.context.playbook.files import save

    if out is not None:
        save(playbook, out)
    if not quiet:
        typer.echo(f"written: {out}" if out else "nothing was written: name a file with --out")
