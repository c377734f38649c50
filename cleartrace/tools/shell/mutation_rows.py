"""Tasks of generated mutations: installed packages that were broken on purpose, each run before it was kept.

A folder holds `tasks.jsonl` in SWE-smith's columns plus `test_files`, and the sound packages under `repositories/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from cleartrace.tools.shell.task import HiddenPart, ShellTask
from cleartrace.tools.shell.visible import NotVisible, closure, normal

_REPOSITORY = re.compile(r"pypi__(?P<distribution>.+)\.[0-9a-f]{8}")
NEEDED = ("instance_id", "repo", "problem_statement", "patch", "test_files", "FAIL_TO_PASS", "PASS_TO_PASS")


def from_mutation(record: Mapping[str, Any], folder: Path) -> tuple[ShellTask, HiddenPart]:
    """The task of one record. Raises ValueError for a record that lacks something or cannot be run here.

    Its patch makes the bug. The model sees the package without its tests.
    """
    name = str(record.get("instance_id") or "a record without instance_id")
    if missing := [key for key in NEEDED if record.get(key) is None]:
        raise ValueError(f"{name}: no {', '.join(missing)}; is this a file of mutation tasks?")
    repository = folder / "repositories" / str(record["repo"])
    if not repository.is_dir():
        raise ValueError(f"{name}: no folder {repository}; keep tasks.jsonl beside its repositories")
    hidden = HiddenPart(
        setup_patch=record["patch"],
        test_files=record["test_files"],
        fail_to_pass=tuple(record["FAIL_TO_PASS"]),
        pass_to_pass=tuple(record["PASS_TO_PASS"]),
    )
    task = ShellTask(
        instance_id=name,
        repo=str(record["repo"]),
        problem_statement=record["problem_statement"],
        repository=str(repository.resolve()),
        packages=packages_for(str(record["repo"])),
    )
    return task, hidden


def packages_for(repo: str) -> tuple[str, ...]:
    """What a sandbox must show beside a package `pypi__<distribution>.<commit>`: pytest, and what the package needs.

    Raises ValueError for a package that pytest itself needs: its solution would have to stand in the sandbox.
    """
    match = _REPOSITORY.fullmatch(repo)
    if match is None:
        raise ValueError(f"{repo!r} is not the name of a mutated package (pypi__<distribution>.<8 hex digits>)")
    own = normal(match["distribution"])
    try:
        needs = [name for name in closure([own]) if name != own] if _installed(own) else []
        packages = tuple(dict.fromkeys(["pytest", *sorted(needs)]))
        shown = closure(packages)
    except NotVisible as error:
        raise ValueError(str(error)) from error
    if own in shown:
        raise ValueError(f"{repo}: its tests need {own} unbroken, because {' or '.join(packages)} imports it")
    return packages


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
