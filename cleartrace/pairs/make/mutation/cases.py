"""The behavioural check of a function, written from what the original returns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.pairs.make.mutation.inputs import guesses
from cleartrace.pairs.make.mutation.subjects import Subject, arguments_of
from cleartrace.pairs.make.mutation.workspace import Workspace

GUESSES, CASES, MIN_CASES, MIN_RESULTS = 60, 8, 4, 3
OBSERVE_S = 40.0


@dataclass(frozen=True)
class Case:
    """A call, as literals, and the text of what the original returns."""

    arguments: tuple[str, ...]
    result: str

    def call(self, name: str) -> str:
        return f"{name}({', '.join(self.arguments)})"


def _observe_all(module: str, calls: list[tuple[str, ...]], workspace: Workspace) -> list[str | None]:
    """Results of all calls; a function whose call kills the process has no further ones, and the next goes on."""
    results: list[str | None] = []
    while len(results) < len(calls):
        results += workspace.observe(module, calls[len(results) :], OBSERVE_S)
        if len(results) < len(calls):
            name = calls[len(results)][0]
            skipped = next((i for i in range(len(results), len(calls)) if calls[i][0] != name), len(calls))
            results += [None] * (skipped - len(results))
    return results


def _choose(steady: list[Case]) -> tuple[Case, ...]:
    """Different results first. Empty where there are too few calls or results."""
    fresh: dict[str, Case] = {}
    for case in steady:
        fresh.setdefault(case.result, case)
    if len(steady) < MIN_CASES or len(fresh) < MIN_RESULTS:
        return ()
    kept = list(fresh.values())[:CASES]
    return (*kept, *[case for case in steady if case not in kept][: CASES - len(kept)])


def find_cases(subjects: Sequence[Subject], workspace: Workspace, seed: int) -> dict[str, tuple[Case, ...]]:
    """Per function of ONE module, up to `CASES` calls that return the same plain data in two processes.

    Functions with fewer than `MIN_CASES` such calls or `MIN_RESULTS` different results are left out.
    """
    if not subjects:
        return {}
    module, source = subjects[0].module, workspace.read(subjects[0].path)
    calls: list[tuple[str, ...]] = []
    for subject in subjects:
        rng = random.Random(f"{seed}:{subject.qualified}")
        calls += [(subject.name, *one) for one in guesses(arguments_of(source, subject.name), GUESSES, rng)]
    returned = [pair for pair in zip(calls, _observe_all(module, calls, workspace), strict=True) if pair[1] is not None]
    again = _observe_all(module, [call for call, _ in returned], workspace)
    steady: dict[str, list[Case]] = {}
    for (call, result), second in zip(returned, again, strict=True):
        if result is not None and result == second:
            steady.setdefault(call[0], []).append(Case(call[1:], result))
    chosen = {name: _choose(cases) for name, cases in steady.items()}
    return {name: cases for name, cases in chosen.items() if cases}


def check_path(subject: Subject) -> str:
    return f"tests/test_{subject.name.strip('_')}.py"


def check_class(subject: Subject) -> str:
    return "Test" + "".join(part.title() for part in subject.name.split("_"))


def test_id(subject: Subject, number: int) -> str:
    """Name of a case as pytest writes it."""
    return f"{check_path(subject)}::{check_class(subject)}::test_{number + 1}"


def check_files(subject: Subject, cases: Sequence[Case]) -> dict[str, str]:
    """A unittest file with one test per case, by path. `tests` is a package, or an installed one would hide it."""
    return {"tests/__init__.py": "", check_path(subject): _check_file(subject, cases)}


def _check_file(subject: Subject, cases: Sequence[Case]) -> str:
    tests = "\n".join(
        f"    def test_{i}(self):\n        self.same({case.call(subject.name)}, {case.result})\n"
        for i, case in enumerate(cases, 1)
    )
    return (
        f'"""What {subject.qualified} returned when this was written."""\n\n'
        "import unittest\nfrom collections.abc import Iterator\n\n"
        f"from {subject.module} import {subject.name}\n\n\n"
        f"class {check_class(subject)}(unittest.TestCase):\n"
        "    def same(self, got, wanted):\n"
        "        got = list(got) if isinstance(got, Iterator) else got\n"
        "        self.assertEqual(repr(got), repr(wanted))\n\n"
        f'{tests}\n\nif __name__ == "__main__":\n    unittest.main()\n'
    )
