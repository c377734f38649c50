"""Prompt injections of AgentDojo: which user tasks an attack can reach, and what it plants where."""

# pyright: reportMissingImports=false
# The package lives in a virtual environment of its own, where this module runs.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

_ASKS_A_PERSON = "manual"


@dataclass(frozen=True)
class Target:
    """An attack of the package, and the model it addresses.

    Raises: ValueError for an attack or a model the package does not know.
    """

    attack: str
    model: str

    def __post_init__(self) -> None:
        from agentdojo.attacks.attack_registry import ATTACKS
        from agentdojo.models import MODEL_NAMES

        known = sorted(set(ATTACKS) - {_ASKS_A_PERSON})
        if self.attack not in known:
            raise ValueError(f"agentdojo has no attack {self.attack!r}; there are: {', '.join(known)}")
        if not any(name in self.model for name in MODEL_NAMES):
            raise ValueError(f"agentdojo does not know the model {self.model!r}; it knows: {', '.join(MODEL_NAMES)}")

    def on(self, suite: Any) -> Any:
        from agentdojo.attacks.attack_registry import ATTACKS

        return ATTACKS[self.attack](suite, SimpleNamespace(name=self.model))

    def injection_tasks(self, suite: Any, user: Any) -> Sequence[str]:
        """Ids of the injections that can be aimed at a user task; none where its tools show no planted text."""
        attack = self.on(suite)
        try:
            attack.get_injection_candidates(user)
        except ValueError:
            return []
        return list(suite.injection_tasks)[:1] if attack.is_dos_attack else list(suite.injection_tasks)


def injections_of(target: Target, suite: Any, user: Any, attacker: Any) -> dict[str, str]:
    """Texts by the place they are planted in."""
    return dict(target.on(suite).attack(user, attacker))
