"""What is asked of the reward service, and what it answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from cleartrace.episodes.types import Task


class Ask(BaseModel):
    """One sampled guidance. `guidance`: the model's whole reply. `step`: of the training, where it is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task
    guidance: str
    step: int | None = None


class Graded(BaseModel):
    """What it earned.

    Args:
        ungraded: no score, and not through the model's fault: to be masked, never a 0. `error` says why, `blame` who.
        reward: 0 where ungraded.
        score: mean of the agent's runs. `baseline`: without guidance; None where the rules do not ask for it.
        passed: whether every run was a full pass.
        said: the guidance as the agent saw it. `tokens`: of it. `cut`: the model had written more.
        runs, hits: agent runs behind the figures, and how many of them the store held.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reward: float = 0.0
    ungraded: bool = False
    error: str = ""
    blame: str = ""
    score: float | None = None
    baseline: float | None = None
    passed: bool = False
    abstained: bool = False
    said: str = ""
    tokens: int = 0
    cut: bool = False
    runs: int = 0
    hits: int = 0


class Stats(BaseModel):
    """Counts since the service began. `failures`: ungraded ones by what went wrong."""

    asked: int = 0
    graded: int = 0
    ungraded: int = 0
    cancelled: int = 0
    refused: int = 0
    abstained: int = 0
    runs: int = 0
    hits: int = 0
    failures: dict[str, int] = {}
