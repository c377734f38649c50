"""Which rows the pass-rate filter keeps. Pure: the published rule, with a draw that does not depend on file order."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.data.sources import Category, category_of
from cleartrace.data.statistics import RATE_TOLERANCE, Joined

PUBLISHED_RATIOS = "0:0,0.125:0.8,0.25:0.9,0.375:1,0.5:1,0.625:1,0.75:1,0.875:1,1:0"
EIGHTHS = tuple(k / 8 for k in range(9))
LEGACY_SEED_CODE, LEGACY_SEED_OTHER = 42, 43


@dataclass(frozen=True)
class Rule:
    """`ratios`: (success rate, share of its rows to keep) pairs; a rate that is not named keeps all its rows.
    `retain_code`: rows that ask for programs are thinned at rate 0 only. `legacy`: numpy's draw, as published."""

    ratios: tuple[tuple[float, float], ...] = ()
    retain_code: bool = False
    seed: int = 0
    legacy: bool = False

    def ratio(self, rate: float, code: bool) -> float:
        if code and self.retain_code and rate > RATE_TOLERANCE:
            return 1.0
        return next((share for named, share in self.ratios if abs(named - rate) <= RATE_TOLERANCE), 1.0)


@dataclass(frozen=True)
class Group:
    """Rows of one success rate, programs apart from the rest; `members` are positions in the joined list."""

    rate: float
    code: bool
    members: tuple[int, ...]
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Selection:
    """`groups` by rate, programs first; `unmatched` rows have no statistics and are dropped."""

    groups: tuple[Group, ...]
    unmatched: int

    @property
    def kept(self) -> list[int]:
        """Positions to keep, in file order."""
        return sorted(position for group in self.groups for position in group.kept)

    def groups_at(self, rate: float) -> list[Group]:
        return [group for group in self.groups if group.rate == rate]

    def count(self, code: bool) -> int:
        return sum(len(group.kept) for group in self.groups if group.code is code)


def parse_ratios(text: str) -> tuple[tuple[float, float], ...]:
    """Read `rate:share,...`, or nine shares for 0/8 to 8/8; "" names none.

    Errors: `ValueError` that says which part is wrong.

    Example:
        >>> parse_ratios("0:0, 1:0.5")
        ((0.0, 0.0), (1.0, 0.5))
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        return ()
    if ":" not in text:
        if len(parts) != len(EIGHTHS):
            raise ValueError(f"nine shares are needed, for 0/8 to 8/8 successes; there are {len(parts)}")
        return tuple((rate, _share(part, part)) for rate, part in zip(EIGHTHS, parts, strict=True))
    pairs = []
    for part in parts:
        rate, colon, share = part.partition(":")
        if not colon:
            raise ValueError(f"{part!r} is not of the form rate:share")
        pairs.append((_share(rate, part), _share(share, part)))
    rates = sorted(rate for rate, _ in pairs)
    if any(after - before <= RATE_TOLERANCE for before, after in zip(rates, rates[1:], strict=False)):
        raise ValueError("a success rate is named twice")
    return tuple(pairs)


def _share(text: str, part: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{part!r}: {text.strip()!r} is not a number") from None
    if not 0 <= value <= 1:
        raise ValueError(f"{part!r}: {value:g} is not between 0 and 1")
    return value


def select(rows: Sequence[Joined], rule: Rule) -> Selection:
    """Keep int(count * share) rows of every success rate, programs and the rest apart.

    Errors: `ValueError` for a legacy draw over rates that are no eighths, which the published filter never kept.
    """
    members: dict[tuple[float, bool], list[int]] = defaultdict(list)
    for position, (_, line) in enumerate(rows):
        if line is not None:
            code = category_of(line.data_source) is Category.CODE
            members[round(line.success_rate, 3), code].append(position)
    groups = []
    for (rate, code), positions in sorted(members.items(), key=lambda item: (item[0][0], not item[0][1])):
        n = int(len(positions) * rule.ratio(rate, code))
        kept = _legacy_draw(positions, n, rate, code) if rule.legacy else _ranked(rows, positions, n, rule.seed)
        groups.append(Group(rate, code, tuple(positions), tuple(kept)))
    return Selection(tuple(groups), unmatched=sum(line is None for _, line in rows))


def _ranked(rows: Sequence[Joined], positions: list[int], n: int, seed: int) -> list[int]:
    """The n rows whose id and seed have the smallest hashes; equal rows by their order."""

    def rank(position: int) -> bytes:
        return hashlib.sha256(f"{seed}:{rows[position][0].sample_id}".encode()).digest()

    return sorted(positions, key=rank)[:n]


def _legacy_draw(positions: list[int], n: int, rate: float, code: bool) -> list[int]:
    import numpy as np

    if n >= len(positions):
        return positions
    eighth = min(EIGHTHS, key=lambda named: abs(named - rate))
    if abs(eighth - rate) > RATE_TOLERANCE:
        raise ValueError(f"success rate {rate:g} is no eighth; the legacy draw knows statistics of 8 attempts only")
    seed = (LEGACY_SEED_CODE if code else LEGACY_SEED_OTHER) + int(eighth * 1000)
    return np.random.RandomState(seed).choice(positions, size=n, replace=False).tolist()
