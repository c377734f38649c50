"""What a configuration says about rewards, checked before the first rollout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import ValidationError

from cleartrace.rewards.options import RewardOptions, refuse_unknown

MANAGER_OPTIONS = ("overlong_buffer_cfg", "max_resp_len")
BUFFER_OPTIONS = ("enable", "len", "penalty_factor", "log")


def option_problems(config: Any) -> Iterator[str]:
    """One sentence for each part of `reward` that names an unknown option or has a bad value."""
    manager = _plain(config.reward.get("reward_kwargs"))
    buffer = manager.get("overlong_buffer_cfg") or {}
    yield from _unknown(manager, MANAGER_OPTIONS, "reward.reward_kwargs")
    yield from _unknown(buffer, BUFFER_OPTIONS, "reward.reward_kwargs.overlong_buffer_cfg")
    function = config.reward.custom_reward_function
    if not function.get("path") or Path(function.path).resolve() != Path(__file__).with_name("reward.py").resolve():
        return  # somebody else's function has options of its own
    try:
        RewardOptions.model_validate(_plain(function.get("reward_kwargs")))
    except ValidationError as error:
        for one in error.errors():
            name = ".".join(str(part) for part in ("reward.custom_reward_function.reward_kwargs", *one["loc"]))
            yield f"{name}: {one['msg'].removeprefix('Value error, ')}."


def _plain(node: Any) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    return dict(found or {})


def _unknown(given: dict[str, Any], known: tuple[str, ...], where: str) -> Iterator[str]:
    try:
        refuse_unknown(given, known, "option")
    except ValueError as error:
        yield f"{where}: {error}."
