"""What a validation finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Severity(str, Enum):
    """An error makes a file unfit for training; a warning is for a person to judge."""

    ERROR = "error"
    WARNING = "warning"


class Kind(str, Enum):
    """Kinds of findings; the value is what the summary calls them."""

    SCHEMA = "wrong columns or values"
    DUPLICATE = "same sample twice"
    TESTS = "tests cannot be read"
    GOLD_FAILS = "gold answer is not right"
    EMPTY_PASSES = "empty answer is right"
    REFERENCE_FAILS = "reference solution fails"
    UNGRADED = "could not be graded"
    OVERLONG = "prompt too long"
    LEAK = "prompt shows the answer"
    OTHER_FILE = "question is in another file too"
    ODD_KEY = "key looks like a list"

    @property
    def severity(self) -> Severity:
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR


_WARNINGS = {Kind.OVERLONG, Kind.LEAK, Kind.OTHER_FILE, Kind.ODD_KEY}


@dataclass(frozen=True)
class Finding:
    """`row` counts from 0; None is the file as a whole."""

    file: str
    kind: Kind
    message: str
    row: int | None = None
    column: str = ""

    def __str__(self) -> str:
        where = [self.file, *([] if self.row is None else [f"row {self.row}"]), *([self.column] if self.column else [])]
        return f"{self.kind.severity.value}: {', '.join(where)}: {self.kind.value}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "kind": self.kind.name.lower(), "severity": self.kind.severity.value}


@dataclass
class FileReport:
    """Findings of one file. `graded`: rows whose gold or reference answer went through the grader; `programs`: rows
    that ask for programs; `untried`: those among them without a reference solution."""

    file: str
    rows: int = 0
    graded: int = 0
    programs: int = 0
    untried: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: Kind, message: str, row: int | None = None, column: str = "") -> None:
        self.findings.append(Finding(self.file, kind, message, row, column))

    def counts(self) -> Counter[Kind]:
        return Counter(finding.kind for finding in self.findings)

    def number(self, severity: Severity) -> int:
        return sum(finding.kind.severity is severity for finding in self.findings)
