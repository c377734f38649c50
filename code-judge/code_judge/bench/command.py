"""`code-judge bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    level: Annotated[str, typer.Option(help="Levels to measure, for example L1,L2.")] = "L1,L2,L3",
    only: Annotated[str, typer.Option(help="Groups of loads, for example hello,suites; all by default.")] = "",
    workers: Annotated[int, typer.Option(help="Programs run at the same time.", min=1)] = 2,
    repeats: Annotated[int, typer.Option(help="Plays of each load; the best one is shown.", min=1)] = 3,
    scale: Annotated[float, typer.Option(help="Size of the loads.", min=0.001)] = 1.0,
    csv: Annotated[Path | None, typer.Option(help="Also write every play to this file.")] = None,
) -> None:
    """Measure a service that is started for it, and the floors of this machine. Exits 1 when a run fails."""
    import sys
    import tempfile
    from collections import defaultdict

    from code_judge.bench.floors import bare_fork, fresh_interpreter
    from code_judge.bench.measure import best, measure, wait_until_quiet
    from code_judge.bench.report import as_csv, table
    from code_judge.bench.scenarios import GROUPS, SCENARIOS
    from code_judge.client import JudgeUnavailable
    from code_judge.embedded import EmbeddedJudge
    from code_judge.sandbox.levels import Level
    from code_judge.sync_client import SyncJudgeClient

    wanted = [word.strip() for word in only.split(",") if word.strip()] or list(GROUPS)
    if unknown := set(wanted) - set(GROUPS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: the groups are {', '.join(GROUPS)}")
    try:
        levels = [Level.parse(word.strip()).name for word in level.split(",") if word.strip()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    rows, taken = [], defaultdict(list)
    for name in levels:
        wait_until_quiet()
        for kind in (fresh_interpreter, bare_fork):
            taken[kind] += [kind(sys.executable, workers) for _ in range(repeats)]
        environment = {"CODE_JUDGE_MIN_ISOLATION": name, "CODE_JUDGE_MAX_ISOLATION": name}
        try:
            with tempfile.TemporaryDirectory() as logs, EmbeddedJudge(logs, workers, environment=environment) as judge:
                with SyncJudgeClient(judge.url, judge.token) as client:
                    isolation = client.status()["isolation"]
                for scenario in SCENARIOS:
                    if scenario.group in wanted:
                        for repeat in range(repeats):
                            row = measure(judge, name, isolation, scenario, repeat, scale)
                            rows.append(row)
                            typer.echo(f"{name} {row.scenario}: {row.rate:.0f}/s, {row.cpu_ms:.2f} ms CPU", err=True)
        except JudgeUnavailable as error:
            typer.echo(f"{name} cannot be had here: {error}", err=True)
            continue
    floors = [max(tries, key=lambda floor: floor.rate) for tries in taken.values()]
    for name in levels:
        mine = [row for row in best(rows) if row.level == name]
        if mine:
            typer.echo(f"\n{mine[0].isolation}, {workers} workers\n\n{table(mine, floors)}")
    if csv is not None:
        csv.write_text(as_csv(rows, floors))
    if not rows or any(row.failed for row in rows):
        raise typer.Exit(1)
