"""All attacks. A new group is a module with `ATTACKS`, added here.

A28 to A30 (a test's reward without passing it) concern suites, not slots: they belong in a group of their own, which
needs `Attack` to carry a suite; until then `tests/code_judge/test_suites.py` holds them off.
"""

from __future__ import annotations

import re

from code_judge.attack import compiling, exposure, files, kernel, network, processes, resources
from code_judge.attack.model import Attack

_GROUPS = (resources, processes, files, network, exposure, kernel, compiling)


def _order(attack: Attack) -> tuple[str, int]:
    match = re.fullmatch(r"([A-Z])(\d+)", attack.id)
    assert match is not None, attack.id
    return match[1], int(match[2])


ATTACKS: tuple[Attack, ...] = tuple(sorted((one for group in _GROUPS for one in group.ATTACKS), key=_order))


def select(ids: str) -> tuple[Attack, ...]:
    """From a list like `A6,B22`; all of them for ''. Raises ValueError for an unknown one."""
    wanted = [word.strip().upper() for word in ids.split(",") if word.strip()]
    known = {attack.id: attack for attack in ATTACKS}
    if unknown := [word for word in wanted if word not in known]:
        raise ValueError(f"no attack {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[word] for word in dict.fromkeys(wanted)) if wanted else ATTACKS
