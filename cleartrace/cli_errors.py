"""What a command says about an error that the user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

EXIT_SETTINGS = 2


@contextmanager
def errors_in_words(*kinds: type[Exception]) -> Iterator[None]:
    """Turn an error of one of `kinds` into one message and exit status 2."""
    try:
        yield
    except kinds as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
