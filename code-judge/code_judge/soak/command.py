"""`code-judge soak`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def soak(
    runs: Annotated[int, typer.Option(help="Programs in all.", min=1)] = 100_000,
    attacks: Annotated[float, typer.Option(help="Share of them that are attacks.", min=0, max=1)] = 0.05,
    chunk: Annotated[int, typer.Option(help="Programs between two looks at what the service holds.", min=100)] = 2000,
    workers: Annotated[int, typer.Option(help="Programs run at the same time.", min=1)] = 2,
    csv: Annotated[
        Path, typer.Option(help="One line per chunk. A soak that finds lines here goes on after them.")
    ] = Path("soak.csv"),
) -> None:
    """Run many programs, attacks among them, on a service that is started for it. Exits 1 when anything is wrong."""
    from code_judge.soak.campaign import campaign
    from code_judge.soak.rows import judge, read, write

    try:
        rows = read(csv)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    todo = -(-runs // chunk) - len(rows)
    left: list[str] = []
    if todo > 0:
        for row in campaign(rows, todo, chunk, attacks, workers, left, lambda fault: typer.echo(fault, err=True)):
            rows.append(row)
            write(csv, rows)
            bad = row.lost + row.wrong + row.infra + row.harm
            typer.echo(
                f"chunk {row.chunk + 1}: {row.runs} runs, {row.seconds:.0f} s, {bad} bad; hello {row.hello_rate:.0f}/s "
                f"{row.hello_cpu_ms:.2f} ms CPU; {row.processes} processes, {row.descriptors} descriptors, "
                f"{row.private_mb:.0f} MB", err=True,
            )  # fmt: skip
    verdict = judge(rows)
    typer.echo(f"{verdict.runs} runs, {verdict.attacks} of them attacks, {verdict.seconds:.0f} s at {rows[-1].level}")
    drifts = f"rate {verdict.rate_drift:+.1%}, CPU over that of a bare fork {verdict.cpu_drift:+.1%}"
    typer.echo(f"hello world, last fifth against first: {drifts}")
    for name, (before, after) in verdict.growth.items():
        typer.echo(f"{name}: {before:g} -> {after:g}")
    failures = [*verdict.failures, *left]
    for failure in failures:
        typer.echo(f"FAILED: {failure}")
    if failures:
        raise typer.Exit(1)
    typer.echo("nothing was lost, wrong or left behind")
