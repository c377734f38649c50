"""Sizes and places of the miniature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleartrace.agents.workplace import AgentConfig
from cleartrace.learn.clear.project import Project

BASE_MODEL = Path("runs/models/smollm2-135m-instruct")
RUNS = Path("runs/clear/ruleworld")
NO_CONTRAST = "no-contrast"
WORLD = {"rules": 5, "plain_marks": 2, "scenarios": [12, 2, 10], "tasks_each": 10}
"""Few enough rules for a small model to remember; 12 customers to learn from, 10 to be tested on, 10 orders each."""
COLLECTED = 60
"""Tasks that runs are collected on: whole customers. GRPO needs no rows, and so learns from all train tasks."""
SETS = 6
"""Of 3 runs for each task, drawn from the 20: the reading script says the same of most of them."""
CAP = 128
"""Tokens of a context, for all arms; a rule is about 35 by the estimate that counts here."""
REPLY_TOKENS = 72
EPOCHS, BATCH = 5, 4
PASSES = 2
TOKEN_COST = 0.004
"""Of the reward, for each token of guidance where it is charged for: about a tenth of a passed task for a rule."""


@dataclass(frozen=True)
class Seed:
    """One run of the pipeline: its world, its trainings and its draws all derive from `number`.

    Args:
        grpo_steps: of 4 prompts with 8 guidances each.
        charged: GRPO rewards the gain over no guidance, less a cost of tokens, so that it can pay to say nothing.
        options: of the world.
    """

    number: int
    grpo_steps: int = 16
    charged: bool = False
    root: Path = RUNS
    options: Mapping[str, Any] = field(default_factory=lambda: WORLD)

    @property
    def name(self) -> str:
        return f"seed{self.number}" + ("-charged" if self.charged else "")

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def agent(self) -> AgentConfig:
        """The execution agent: the simulated one of the rule world."""
        return AgentConfig.checked({"environment": "ruleworld", "environment_options": self.world})

    @property
    def world(self) -> dict[str, Any]:
        return {"seed": self.number, "options": dict(self.options)}

    def project(self, name: str = "") -> Project:
        return Project(self.folder / "project", name)

    def prompts(self, side: str) -> Path:
        """`side`: train or held_out."""
        return self.folder / f"prompts/{side}.parquet"

    @property
    def runs(self) -> Path:
        """Of the agent while guidance is rewarded."""
        return self.folder / "rewarded"

    @property
    def grpo(self) -> Path:
        return self.folder / "grpo"

    def sft(self, name: str = "") -> Path:
        return self.folder / ("sft" + (f"-{name}" if name else ""))
