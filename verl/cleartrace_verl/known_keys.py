"""Which configuration keys exist. A key that nothing reads is refused, with the nearest one that is read."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from verl.utils.import_utils import load_class_from_fqn

# Dictionaries that veRL hands on as they are, so that their keys are somebody else's.
FREE = (
    "actor_rollout_ref.context_rl.chat_template_kwargs",
    "actor_rollout_ref.context_rl.mm_processor_kwargs",
    "actor_rollout_ref.model.override_config",
    "actor_rollout_ref.model.mtp",
    "actor_rollout_ref.rollout.custom",
    "actor_rollout_ref.rollout.engine_kwargs",
    "data.apply_chat_template_kwargs",
    "data.mm_processor_kwargs",
    "reward.custom_reward_function.reward_kwargs",
    "reward.reward_kwargs",
    "ray_kwargs.ray_init.runtime_env",
)
# Where veRL reads fields that its YAML does not list and no dataclass declares.
EXTRA = ("algorithm.filter_groups", "actor_rollout_ref.rollout.agent.agent_loop_manager_class")


class UnknownKey(ValueError):
    """A configuration key that neither veRL nor cleartrace reads."""


def leaves(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Dotted names of all leaves; interpolations and missing values count, and are not resolved."""
    for key in config:
        name = f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation() and len(node):
            yield from leaves(node, f"{name}.")
        else:
            yield name


def check(config: DictConfig, base: DictConfig, free: Sequence[str] = (*FREE, *EXTRA)) -> None:
    """Raise UnknownKey when `config` has a key that `base` has not and that no dataclass of veRL declares.

    Args:
        free: keys below which any name is allowed.
    """
    known = sorted(leaves(base))
    for name in leaves(config):
        missing = OmegaConf.select(base, name, throw_on_missing=False, default=_MISSING) is _MISSING
        if missing and not _allowed(name, base, free):
            raise UnknownKey(f"Unknown configuration key {name!r}. Did you mean {nearest(name, known)!r}?")


_MISSING = object()


def nearest(name: str, known: list[str]) -> str:
    """The known key that looks most like `name`; same last part first."""
    tail = name.rsplit(".", 1)[-1]
    same_tail = [k for k in known if difflib.SequenceMatcher(None, k.rsplit(".", 1)[-1], tail).ratio() > 0.75]
    return max(same_tail or known, key=lambda k: difflib.SequenceMatcher(None, k, name, autojunk=False).ratio())


def _allowed(name: str, base: DictConfig, free: Sequence[str]) -> bool:
    if any(name == block or name.startswith(f"{block}.") for block in free):
        return True
    parent, rest = _deepest(name, base)
    if parent == "ray_kwargs.ray_init":
        import ray

        return rest[0] in inspect.signature(ray.init).parameters
    declared = _fields(OmegaConf.select(base, parent) if parent else base)
    # A declared field of dictionary type is free below its own name.
    return rest[0] in declared and (len(rest) == 1 or "dict" in str(declared[rest[0]]).lower())


def _deepest(name: str, base: DictConfig) -> tuple[str, list[str]]:
    parts = name.split(".")
    for i in range(len(parts) - 1, 0, -1):
        parent = ".".join(parts[:i])
        if isinstance(OmegaConf.select(base, parent, throw_on_missing=False), DictConfig):
            return parent, parts[i:]
    return "", parts


def _fields(node: Any) -> dict[str, Any]:
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if not target:
        return {}
    cls = load_class_from_fqn(target, "configuration")
    return {f.name: f.type for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
