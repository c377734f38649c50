"""Gathers the facts and shows the checks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cleartrace.doctor.check import Check, Status, usable
from cleartrace.doctor.facts import Facts
from cleartrace.doctor.probe_machine import (
    POLICY,
    available_memory,
    free_space,
    look_at_policy,
    ray_folder,
    try_port,
    try_run_folder,
    usable_cpus,
)
from cleartrace.doctor.probe_services import ask_verl, try_judge, try_valkey
from cleartrace.doctor.versions import installed_versions

MARKS = {Status.OK: "[green]ok[/green]", Status.WARN: "[yellow]warn[/yellow]", Status.FAIL: "[red]FAIL[/red]"}


def find_root(start: Path) -> Path:
    """The repository: `start` if it holds the shipped policy, else where an editable install points."""
    if (start / POLICY).is_dir():
        return start
    installed = Path(__file__).resolve().parents[2]
    return installed if (installed / POLICY).is_dir() else start


def gather(root: Path, port: int | None) -> Facts:
    """Look at everything. Takes some seconds, most of them for importing veRL and starting the judge."""
    return Facts(
        python=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        packages=installed_versions(),
        memory=available_memory(),
        disk=free_space(root) or 0,
        shm=free_space(Path("/dev/shm")),
        ray_disk=free_space(ray_folder()) or 0,
        cpus=usable_cpus(),
        port=port,
        port_trial=try_port(port),
        run_folder=try_run_folder(root),
        policy=look_at_policy(root),
        valkey=try_valkey(),
        judge=try_judge(),
        verl=ask_verl(root / POLICY),
    )


def print_checks(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="cleartrace doctor", title_justify="left")
    for column in ("", "check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        table.add_row(MARKS[check.status], check.name, escape(check.found), escape(check.mend))
    console = Console()
    console.print(table)
    if usable(checks):
        console.print("The quickstart works here: [bold]bash recipe/cleaner/quickstart.sh[/bold]", highlight=False)
    else:
        console.print("The quickstart would not work here: mend what says FAIL.", style="red")
