"""What a run's calls took: tokens, money, time and errors, per role."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cleartrace.data.files import whole_file
from cleartrace.episodes.types import Record, Usage
from cleartrace.llm.journal import Lines, read_lines
from cleartrace.llm.protocol import Role

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA_VERSION = 1
LEDGER = "ledger.jsonl"
"""The ledger of a command, in its folder: what was spent over all its starts."""


class Account(Record):
    """Of one role, or of all.

    Args:
        attempts: requests that were sent, retries among them.
        hits: calls answered from a cache or a recording; `saved` is what they would have taken.
        errors: attempts without a reply, by the name of their error.
        usage: of all attempts, those that failed and were charged among them. Its `calls` are the attempts.
        unpriced: attempts with tokens and no known price, so that `usage.cost` is short of them.
        estimated: attempts whose endpoint named no tokens; they are counted by estimate.
    """

    attempts: int = 0
    retries: int = 0
    hits: int = 0
    errors: dict[str, int] = Field(default_factory=dict)
    usage: Usage = Usage()
    saved: Usage = Usage()
    unpriced: int = 0
    estimated: int = 0

    @property
    def calls(self) -> int:
        """Calls that reached the endpoint, each counted once however often it was tried."""
        return self.attempts - self.retries

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens

    @property
    def cost(self) -> float | None:
        """Of everything, in dollars; None where that of any tokens is not known."""
        return None if self.unpriced else self.usage.cost

    def __add__(self, other: Account) -> Account:
        names = sorted({*self.errors, *other.errors})
        priced = [one.usage.cost for one in (self, other) if one.usage.cost is not None]
        return Account(
            attempts=self.attempts + other.attempts,
            retries=self.retries + other.retries,
            hits=self.hits + other.hits,
            errors={name: self.errors.get(name, 0) + other.errors.get(name, 0) for name in names},
            usage=(self.usage + other.usage).model_copy(update={"cost": sum(priced) if priced else None}),
            saved=self.saved + other.saved,
            unpriced=self.unpriced + other.unpriced,
            estimated=self.estimated + other.estimated,
        )


@dataclass(frozen=True)
class Spent:
    """What one role took, for a report; `cost` None where that of any tokens is not known."""

    role: str
    calls: int
    retries: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float

    @classmethod
    def of(cls, role: str, account: Account) -> Spent:
        usage = account.usage
        tokens = usage.input_tokens, usage.output_tokens
        return cls(role, account.calls, account.retries, *tokens, account.cost, round(usage.seconds, 3))


class Ledger:
    """Accounts of all roles. Safe to use from several threads.

    Args:
        path: a file of JSON lines, one per entry: a killed run goes on with what it had spent. A last line that a kill
            left unfinished is passed over.

    Example:
        >>> ledger = Ledger()
        >>> ledger.add(Role.AGENT, Account(attempts=1, usage=Usage(calls=1, input_tokens=7, output_tokens=3)))
        >>> ledger.total.tokens, ledger.of(Role.JUDGE).tokens
        (10, 0)
    """

    def __init__(self, path: Path | None = None) -> None:
        self._accounts: dict[Role, Account] = {}
        self._lock = threading.Lock()
        self._lines = Lines(path) if path is not None else None
        if path is not None:
            self._read(path)

    @classmethod
    def read(cls, *paths: Path) -> Ledger:
        """What ledgers on disk hold together, to look at; a file that is not there holds nothing."""
        ledger = cls()
        for path in paths:
            if path.exists():
                ledger._read(path)
        return ledger

    def _read(self, path: Path) -> None:
        for row in read_lines(path):
            self._sum(Role(row["role"]), Account.model_validate(row["entry"]))

    def add(self, role: Role, entry: Account) -> None:
        """Count it; with a path, it is in the file when this returns."""
        with self._lock:
            self._sum(role, entry)
            if self._lines is not None:
                said = entry.model_dump(mode="json", exclude_defaults=True)
                self._lines.add({"role": role.value, "entry": said})

    def _sum(self, role: Role, entry: Account) -> None:
        self._accounts[role] = self.of(role) + entry

    def of(self, role: Role) -> Account:
        return self._accounts.get(role, Account())

    @property
    def roles(self) -> dict[Role, Account]:
        return dict(self._accounts)

    @property
    def total(self) -> Account:
        return sum(self.roles.values(), Account())

    def spent(self) -> tuple[Spent, ...]:
        """A row per role, and the total; nothing before the first call."""
        rows = [Spent.of(role.value, account) for role, account in sorted(self.roles.items())]
        return (*rows, Spent.of("total", self.total)) if rows else ()

    def merge(self, other: Ledger) -> None:
        """Count all of another ledger here."""
        for role, account in other.roles.items():
            self.add(role, account)

    def to_json(self) -> dict[str, Any]:
        accounts = {role.value: account.model_dump(mode="json") for role, account in sorted(self.roles.items())}
        return {"schema_version": SCHEMA_VERSION, "roles": accounts}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Ledger:
        """Raises ValueError for another schema version or what is no ledger."""
        if said.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"a ledger of schema version {said.get('schema_version')!r}; this reads {SCHEMA_VERSION}")
        ledger = cls()
        for role, account in said["roles"].items():
            ledger.add(Role(role), Account.model_validate(account))
        return ledger

    def save(self, path: Path) -> None:
        """As one JSON file, whole or not at all."""
        with whole_file(path) as partial:
            partial.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    def table(self) -> Table:
        """For a terminal: a row per role, and the total."""
        from rich.table import Table

        table = Table("role", title="model calls")
        for name in ("calls", "retries", "cached", "errors", "input", "of it cached", "output", "cost", "seconds"):
            table.add_column(name, justify="right")
        rows = [(role.value, account) for role, account in sorted(self.roles.items())]
        for name, account in [*rows, ("total", self.total)] if len(rows) != 1 else rows:
            table.add_row(name, *_cells(account))
        return table

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None


def _cells(account: Account) -> Iterable[str]:
    usage = account.usage
    cost = "?" if usage.cost is None else f"${usage.cost:.4f}"
    unpriced = f" + {account.unpriced} unpriced" if account.unpriced and usage.cost is not None else ""
    counts = (account.calls, account.retries, account.hits, sum(account.errors.values()))
    tokens = (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
    return [*(f"{count:,}" for count in (*counts, *tokens)), cost + unpriced, f"{usage.seconds:.1f}"]
