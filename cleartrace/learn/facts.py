"""What every prompt of a learner says about the environment."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Facts:
    """An environment in words.

    Args:
        name: of the environment.
        domain: what the agent works on, with which tools, and how its runs are judged.
        sections: of the playbook, each with what belongs into it. Empty allows any.
    """

    name: str
    domain: str
    sections: dict[str, str] = field(default_factory=dict)
