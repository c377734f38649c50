"""docs/rewards.md names every option with its default, and nothing else."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from cleartrace.rewards.options import RewardOptions

PAGE = Path(__file__).resolve().parents[2] / "docs/rewards.md"


def test_every_option_is_documented_with_its_default():
    section = PAGE.read_text(encoding="utf-8").split("## Options")[1].split("###")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.M))
    assert documented == {name: default(name) for name in RewardOptions.model_fields}


def default(name: str) -> str:
    value = getattr(RewardOptions.model_validate({}), name)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value.value if isinstance(value, Enum) else value)
