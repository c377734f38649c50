"""Hard limits over a ledger: a run stops within one call of them, and says which one it met (rule 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields

from cleartrace.episodes.types import Usage
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import BudgetExhausted, Role

_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True)
class Limits:
    """None is no limit. `calls`: requests that are sent, retries among them. `tokens`: input and output. `cost`: in
    dollars. `seconds`: of the calls, added up, not of the clock; a call reserves what the longest one so far took."""

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for field, limit in zip(fields(self), astuple(self), strict=True):
            if limit is not None and limit < 0:
                raise ValueError(f"the limit of {field.name} is negative: {limit}")


class Budget:
    """Limits for all roles together and for single ones.

    A call reserves the most it may take. While others are under way, it waits until its reservation fits beside theirs;
    alone, it starts as long as something is left. So at most one reply crosses a limit, as far as its size was known
    beforehand, and that reply is returned. Then every call raises `BudgetExhausted`.
    """

    def __init__(self, ledger: Ledger, total: Limits | None = None, roles: Mapping[Role, Limits] | None = None) -> None:
        self.ledger = ledger
        self._limits: dict[Role | None, Limits] = {None: total or Limits()}
        for role, limits in (roles or {}).items():
            self._limits[role] = limits
        self._open: list[tuple[Role, Usage]] = []

    @property
    def limits_cost(self) -> bool:
        return any(limits.cost is not None for limits in self._limits.values())

    @property
    def exhausted(self) -> str:
        """Which limit is met, in words; "" while there is none."""
        return next((reason for role in self._limits for reason in self._met(role)), "")

    async def reserve(self, role: Role, need: Usage) -> tuple[Role, Usage]:
        """Wait until there is room. Raises `BudgetExhausted`. The ticket goes back with `release`."""
        while not self._room(role, need):
            await asyncio.sleep(_LOOK_AGAIN_S)
        ticket = (role, need)
        self._open.append(ticket)
        return ticket

    def release(self, ticket: tuple[Role, Usage]) -> None:
        """After the ledger holds what the call took."""
        self._open.remove(ticket)

    def _room(self, role: Role, need: Usage) -> bool:
        for scope in (None, role):
            if reason := next(self._met(scope), ""):
                raise BudgetExhausted(reason)
            under_way = [usage for other, usage in self._open if scope in (None, other)]
            if not under_way:
                continue
            ahead = _figures(Account(attempts=len(under_way) + 1, usage=sum(under_way, need)))
            for name, limit, spent in self._rows(scope):
                if spent + ahead[name] > limit:
                    return False
        return True

    def _met(self, scope: Role | None) -> Iterator[str]:
        for name, limit, spent in self._rows(scope):
            if spent >= limit:
                whose = f"role {scope.value}" if scope else "all roles"
                yield f"{name} of {whose}: {spent:.6g} of {limit:.6g}"

    def _rows(self, scope: Role | None) -> Iterator[tuple[str, float, float]]:
        limits = self._limits.get(scope)
        if limits is None:
            return
        spent = _figures(self.ledger.of(scope) if scope else self.ledger.total)
        for name in ("calls", "tokens", "cost", "seconds"):
            limit = getattr(limits, name)
            if limit is not None:
                yield name, limit, spent[name]


def _figures(account: Account) -> dict[str, float]:
    usage = account.usage
    return {
        "calls": account.attempts,
        "tokens": account.tokens,
        "cost": usage.cost or 0.0,
        "seconds": usage.seconds,
    }
