"""Trajectories and tasks from executed mutations, the same for the same seed; a killed run goes on where it was.

Every function is a unit of work with a file of its own under `<out>/parts/`, written whole or not at all. Once all
units are there they are joined, in order, to `trajectories.jsonl` (mini-swe-agent form) and `tasks.jsonl` (SWE-smith
columns), and the unmutated packages stand under `repositories/`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import whole_file, write_json_lines
from cleartrace.pairs.make.mutation.agent import AgentError, Job, issue_text, run_agent
from cleartrace.pairs.make.mutation.cases import Case, check_files, find_cases, test_id
from cleartrace.pairs.make.mutation.mutators import Mutation, mutations
from cleartrace.pairs.make.mutation.subjects import MODULES, Subject, find_subjects
from cleartrace.pairs.make.mutation.workspace import Copies, Workspace

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class MutationOptions:
    """How much to make.

    Args:
        functions: that give at least two trajectories.
        per_function: most trajectories of one function; any two of them fail different cases.
        tried: mutants of a function that are run against its check at most.
    """

    functions: int = 50
    per_function: int = 3
    tried: int = 12
    seed: int = 0
    workers: int = 1
    modules: tuple[str, ...] = MODULES

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the output; the number of functions and of workers does not."""
        return {"per_function": self.per_function, "tried": self.tried, "seed": self.seed, "modules": self.modules}


@dataclass(frozen=True)
class Unit:
    """A function with its check."""

    subject: Subject
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Made:
    """What was written."""

    trajectories: Path
    tasks: Path
    functions: int
    runs: int


def silent(phase: str, done: int, total: int) -> None:
    """Progress for nobody."""


def unified(old: str, new: str, path: str) -> str:
    """A diff in git's words."""
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}")
    return f"diff --git a/{path} b/{path}\n" + "".join(lines)


def _instance(subject: Subject, mutation: Mutation) -> str:
    digest = hashlib.sha256(f"{subject.qualified}\0{mutation.source}".encode()).hexdigest()
    return f"{subject.package.repository}.{mutation.bug_type}__{digest[:8]}"


Chosen = tuple[Mutation, tuple[int, ...], str]


def _chosen(unit: Unit, workspace: Workspace, options: MutationOptions) -> Iterator[Chosen]:
    """Mutants that fail some cases and pass some, each with a set of failures of its own, and the issue of each."""
    subject, original = unit.subject, workspace.read(unit.subject.path)
    mutants = mutations(original, subject.name)
    random.Random(f"{options.seed}:{subject.qualified}:mutants").shuffle(mutants)
    calls = [(subject.name, *case.arguments) for case in unit.cases]
    seen: set[tuple[int, ...]] = set()
    for mutant in mutants[: options.tried]:
        if len(seen) == options.per_function:
            return
        workspace.write(subject.path, mutant.source)
        got = workspace.observe(subject.module, calls)
        workspace.write(subject.path, original)
        if len(got) < len(calls):
            continue
        wrong = tuple(i for i, case in enumerate(unit.cases) if got[i] != case.result)
        if 0 < len(wrong) < len(calls) and wrong not in seen:
            seen.add(wrong)
            yield mutant, wrong, issue_text(subject, unit.cases, wrong, got, mutant.symptom)


def _rows(unit: Unit, workspace: Workspace, options: MutationOptions) -> Iterator[dict[str, Any]]:
    subject, original = unit.subject, workspace.read(unit.subject.path)
    chosen = list(_chosen(unit, workspace, options))
    for mutation, wrong, issue in chosen if len(chosen) > 1 else ():
        instance = _instance(subject, mutation)
        workspace.write(subject.path, mutation.source)
        for name, text in check_files(subject, unit.cases).items():
            workspace.write(name, text)
        workspace.commit("start")
        job = Job(subject, unit.cases, mutation, original, wrong, issue)
        try:
            # Runs on one function take the same steps, so that only what they find tells them apart.
            messages = run_agent(job, workspace, random.Random(f"{options.seed}:{subject.qualified}:agent"))
        except AgentError:
            continue
        finally:
            workspace.reset()
        numbers = range(len(unit.cases))
        task = {
            "instance_id": instance,
            "repo": subject.package.repository,
            "version": subject.package.version,
            "patch": unified(original, mutation.source, subject.path),
            "FAIL_TO_PASS": [test_id(subject, i) for i in wrong],
            "PASS_TO_PASS": [test_id(subject, i) for i in numbers if i not in wrong],
            "problem_statement": issue,
            "test_files": check_files(subject, unit.cases),
        }
        messages_out = [message.model_dump() for message in messages]
        yield {"trajectory": {"instance_id": instance, "messages": messages_out, "resolved": True}, "task": task}


class Generator:
    """One run into the folder `out`."""

    def __init__(self, out: Path, options: MutationOptions, progress: Progress = silent) -> None:
        self.out, self.options, self.progress = out, options, progress
        self.parts = out / "parts"
        self.copies = Copies()
        self._check_identity()

    def _check_identity(self) -> None:
        file = self.parts / "options.json"
        wanted = json.dumps(self.options.identity, sort_keys=True)
        if file.is_file() and file.read_text() != wanted:
            raise DataError(self.out, "it was begun with other options; take another folder or delete this one")
        with whole_file(file) as partial:
            partial.write_text(wanted)

    def units(self) -> list[Unit]:
        """All functions with enough cases, in an order that the seed decides."""
        subjects = find_subjects(self.options.modules)
        if not subjects:
            raise DataError(self.out, f"none of the modules is installed: {', '.join(self.options.modules)}")
        groups = [list(group) for _, group in groupby(subjects, key=lambda s: s.module)]
        units: list[Unit] = []
        for i, group in enumerate(groups):
            found = self._cases(group)
            units += [Unit(s, found[s.name]) for s in group if s.name in found]
            self.progress("calling functions", i + 1, len(groups))
        random.Random(self.options.seed).shuffle(units)
        return units

    def _cases(self, subjects: Sequence[Subject]) -> dict[str, tuple[Case, ...]]:
        file = self.parts / f"cases.{subjects[0].module}.json"
        if not file.is_file():
            with self.copies.borrowed(subjects[0].package.root) as workspace:
                found = find_cases(subjects, workspace, self.options.seed)
            data = {name: [[case.arguments, case.result] for case in cases] for name, cases in found.items()}
            with whole_file(file) as partial:
                partial.write_text(json.dumps(data))
        stored = json.loads(file.read_text())
        return {name: tuple(Case(tuple(a), result) for a, result in cases) for name, cases in stored.items()}

    def part(self, unit: Unit) -> list[dict[str, Any]]:
        """Trajectories of one function: from its file, or made now."""
        file = self.parts / f"{unit.subject.qualified}.json"
        if not file.is_file():
            source = (unit.subject.package.root.parent / unit.subject.path).read_text(encoding="utf-8")
            rows: list[dict[str, Any]] = []
            if len(mutations(source, unit.subject.name)) > 1:
                with self.copies.borrowed(unit.subject.package.root) as workspace:
                    rows = list(_rows(unit, workspace, self.options))
            with whole_file(file) as partial:
                partial.write_text(json.dumps(rows))
        return json.loads(file.read_text())

    def run(self) -> Made:
        """Make units until enough functions gave two trajectories or more."""
        units = self.units()
        kept: list[tuple[Unit, list[dict[str, Any]]]] = []
        with ThreadPoolExecutor(self.options.workers) as pool:
            # Windows, so that no more units are begun than may be needed; the order of units decides, not of ends.
            while units and len(kept) < self.options.functions:
                window, units = units[: self.options.workers], units[self.options.workers :]
                for unit, rows in zip(window, pool.map(self.part, window), strict=True):
                    if len(rows) > 1 and len(kept) < self.options.functions:
                        kept.append((unit, rows))
                self.progress("mending functions", len(kept), self.options.functions)
        return self._write(kept)

    def _write(self, kept: Sequence[tuple[Unit, list[dict[str, Any]]]]) -> Made:
        rows = [row for _, part in kept for row in part]
        trajectories, tasks = self.out / "trajectories.jsonl", self.out / "tasks.jsonl"
        write_json_lines(trajectories, (row["trajectory"] for row in rows))
        write_json_lines(tasks, (row["task"] for row in rows))
        for package in {unit.subject.package for unit, _ in kept}:
            target = self.out / "repositories" / package.repository
            if not target.is_dir():
                draft = target.with_name(f".{target.name}.part")
                shutil.rmtree(draft, ignore_errors=True)  # of a killed run
                with self.copies.borrowed(package.root) as workspace:
                    shutil.copytree(workspace.root, draft, ignore=shutil.ignore_patterns(".git"))
                draft.rename(target)
        return Made(trajectories, tasks, len(kept), len(rows))


def generate(out: Path, options: MutationOptions | None = None, progress: Progress = silent) -> Made:
    """Make trajectories in `out`.

    Raises:
        DataError: `out` was begun with other options, or no module is installed.
    """
    generator = Generator(out, options or MutationOptions(), progress)
    with generator.copies:
        return generator.run()
