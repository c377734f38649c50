"""What one check says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Status(str, Enum):
    """`fail` means the quickstart would not work here; `warn` means it would, with a remark."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table. `mend` says what to do and is empty when there is nothing to do."""

    name: str
    status: Status
    found: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "status": self.status.value, "found": self.found, "mend": self.mend}


def usable(checks: Iterable[Check]) -> bool:
    """True when nothing would stop the quickstart."""
    return all(check.status is not Status.FAIL for check in checks)
