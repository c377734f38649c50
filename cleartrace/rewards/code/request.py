"""From an answer and its tests to one request to the judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cleartrace.rewards.code.extract import last_program
from cleartrace.rewards.code.imports import behind_future, with_imports
from cleartrace.rewards.code.truth import CodeTests, TestKind
from cleartrace.rewards.code.verdict import without_program
from cleartrace.rewards.grade import Grade
from cleartrace.rewards.options import RewardOptions


@dataclass(frozen=True)
class SuiteRequest:
    """One program and all its tests. `answer` is the program as the model wrote it, `program` what is run."""

    answer: str
    program: str
    tests: CodeTests
    suite: dict[str, Any]


def suite_request(text: str, tests: CodeTests, options: RewardOptions) -> SuiteRequest | Grade:
    """The request, or the grade of an answer that no judge needs to see: no program, or far too long a one."""
    answer = last_program(text)
    if answer is None:
        return without_program("", "no_program", options)
    if len(answer) > options.code_max_chars:
        return without_program(answer[: options.code_max_chars], "too_long", options)
    program = with_imports(answer) if options.code_imports else answer
    return SuiteRequest(answer, behind_future(tests.prefix.rstrip(), program), tests, _suite(tests, options))


def _suite(tests: CodeTests, options: RewardOptions) -> dict[str, Any]:
    suite: dict[str, Any] = {
        "kind": tests.kind.value,
        "cases": list(tests.cases),
        # A test that is two cases, one for each reading of its key, fails one of them even when it passes.
        "stop_early": options.code_stop_early and len(tests.cases) == tests.total,
        "wall_s": options.code_suite_s,
    }
    if tests.kind is TestKind.STDIO:
        suite |= {"compare": options.code_compare, "tolerance": options.code_tolerance}
    elif tests.kind is TestKind.CALL:
        suite |= {"entry_point": tests.entry_point, "tolerance": options.code_tolerance}
    else:
        suite |= {"setup": tests.setup, "entry_point": tests.entry_point}
    return suite
