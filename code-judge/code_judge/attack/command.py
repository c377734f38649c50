"""`code-judge attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def attack(
    level: Annotated[str, typer.Option(help="Levels to attack, for example L1,L2.")] = "L1,L2,L3",
    only: Annotated[str, typer.Option(help="Classes to try, for example A6,B22; all by default.")] = "",
    csv: Annotated[Path | None, typer.Option(help="Also write the results to this file.")] = None,
) -> None:
    """Try every attack class on slots at each level of this machine. Exits 1 when one is not contained."""
    import asyncio

    from code_judge.attack.campaign import campaign
    from code_judge.attack.catalogue import select
    from code_judge.attack.model import Row, Verdict
    from code_judge.attack.report import as_csv, table
    from code_judge.sandbox.levels import Level
    from code_judge.sandbox.syscalls import become_subreaper

    try:
        attacks = select(only)
        levels = [Level.parse(word.strip()) for word in level.split(",") if word.strip()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not levels or Level.L0 in levels:
        raise typer.BadParameter("attacks are for L1, L2 and L3: L0 holds nothing")

    def tell(level: Level, row: Row) -> None:
        typer.echo(f"{level.name} {row.attack.id}: {row.verdict.value} {row.why} ({row.seconds:.1f} s)", err=True)

    become_subreaper()
    columns = [asyncio.run(campaign(one, attacks, tell)) for one in levels]
    typer.echo(table(columns, attacks))
    if csv is not None:
        csv.write_text(as_csv(columns))
    if any(column.count(Verdict.ESCAPED) for column in columns):
        raise typer.Exit(1)
