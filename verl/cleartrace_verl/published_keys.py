"""Open-CLEANER's configuration keys: moved to where they are read now, or refused with what replaces them.

Every published key that veRL 0.9.1 or cleartrace no longer reads by that name stands in one of the tables below;
docs/from-open-cleaner.md shows them to users, and a test holds the two equal. A key is translated wherever it was
given (command line or experiment file), and one that is given wins over the value at its new place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

MULTI_TURN = "actor_rollout_ref.rollout.multi_turn"
SAAR = "actor_rollout_ref.rollout.custom.saar"
CORRECTION = "algorithm.rollout_correction"

SAAR_KEYS = {
    "enable_tool_rollback": "enable",
    "max_tool_retries": "max_retries",
    "rollback_probability": "probability",
    "similarity_threshold": "similarity_threshold",
}
"""Names below `MULTI_TURN` to options of SaarConfig; cleartrace.yaml lists them, and `compose.relocate` moves them."""

MOVED = {
    "custom_reward_function": "reward.custom_reward_function",
    "reward_model.reward_kwargs": "reward.reward_kwargs",
    "reward_model.num_workers": "reward.num_workers",
    "reward_model.enable": "reward.reward_model.enable",
    "reward_model.enable_resource_pool": "reward.reward_model.enable_resource_pool",
    "reward_model.n_gpus_per_node": "reward.reward_model.n_gpus_per_node",
    "reward_model.nnodes": "reward.reward_model.nnodes",
    "reward_model.model.path": "reward.reward_model.model_path",
    "reward_model.rollout": "reward.reward_model.rollout",
    "sandbox_fusion": "reward.sandbox_fusion",
}
"""Names that veRL 0.9.1 still composes and its trainer silently ignores, with everything below them."""

LEGACY_BLOCKS = ("custom_reward_function", "reward_model", "sandbox_fusion")
MANAGERS = ("dapo", "naive")
"""veRL's reward managers whose work cleartrace's own manager does, under the same `reward_kwargs`."""


@dataclass(frozen=True)
class Refusal:
    """A key that asks for something cleartrace does not do under this name.

    Args:
        off: values that ask for nothing, with which the key is accepted and dropped.
        instead: what to do instead, as a sentence.
        detail_of: the switch that gives this key a meaning; while that one is off, any value is dropped.
    """

    instead: str
    off: tuple[Any, ...] = (None,)
    detail_of: str | None = None


_NEGATIVES = f"{MULTI_TURN}.save_negative_samples"
_DPO = "algorithm.use_dpo_on_tool_calls"
REFUSED = {
    f"{MULTI_TURN}.rollback_on_errors": Refusal(
        f"it gated nothing where it was published. Which errors trigger a rollback is {SAAR}.retry_on; how often each "
        f"is retried is {SAAR}.error_policy."
    ),
    _NEGATIVES: Refusal("negative samples are not built yet. Leave it false.", off=(None, False)),
    f"{MULTI_TURN}.max_negative_samples_per_group": Refusal(
        "negative samples are not built yet. Leave it 0.", off=(None, 0), detail_of=_NEGATIVES
    ),
    _DPO: Refusal("the shift of advantages on tool calls is not built yet. Leave it false.", off=(None, False)),
    "algorithm.dpo_beta": Refusal("the shift on tool calls is not built yet.", detail_of=_DPO),
    "algorithm.dpo_max_adjustment_ratio": Refusal("the shift on tool calls is not built yet.", detail_of=_DPO),
}


class RefusedKey(ValueError):
    """A published key whose meaning cleartrace does not offer under that name; the message says what does."""


def translate(config: DictConfig) -> None:
    """Apply the tables to a composed configuration, in place.

    Raises RefusedKey for a key that cannot be moved.
    """
    with open_dict(config):
        _refuse(config)
        _plan_b(config)
        _geometric(config)
        _manager(config)
        for old, new in MOVED.items():
            _move(config, old, new)
        for block in LEGACY_BLOCKS:
            for name in _given(config, block):
                raise RefusedKey(f"{name} is ignored by veRL 0.9.1's trainer: give its successor below `reward`.")
            config.pop(block, None)


def _refuse(config: DictConfig) -> None:
    taken = {name: _take(config, name) for name in REFUSED}
    for name, refusal in REFUSED.items():
        value = taken[name]
        switch = refusal.detail_of
        asleep = switch is not None and taken[switch] in REFUSED[switch].off
        if value not in refusal.off and not asleep:
            raise RefusedKey(f"{name}={value} is refused: {refusal.instead}")


def _plan_b(config: DictConfig) -> None:
    """The authors' later gate is the policy `importance`, with an unnormalised sum."""
    threshold = _take(config, f"{MULTI_TURN}.rollback_is_threshold")
    if threshold is None:
        return
    saar = config.actor_rollout_ref.rollout.custom.saar
    for key, value in {"policy": "importance", "gate_form": "sum", "gate_threshold": threshold}.items():
        if key not in saar:
            saar[key] = value


def _geometric(config: DictConfig) -> None:
    """`rollout_rs=geometric` with two thresholds became `seq_mean_k1` with one text of both."""
    correction = config.algorithm.rollout_correction
    lower = _take(config, f"{CORRECTION}.rollout_rs_threshold_lower")
    if correction.rollout_rs == "geometric":
        correction.rollout_rs = "seq_mean_k1"
    upper = correction.rollout_rs_threshold
    if lower is not None:
        if upper is None:
            raise RefusedKey(f"{CORRECTION}.rollout_rs_threshold_lower needs {CORRECTION}.rollout_rs_threshold too.")
        correction.rollout_rs_threshold = f"{lower}_{upper}"


def _manager(config: DictConfig) -> None:
    """`dapo` and `naive` mean our manager, which does what both do and keeps the records of the agent loop."""
    manager = config.reward.reward_manager
    legacy = _take(config, "reward_model.reward_manager")
    asked = manager.name if legacy is None else legacy
    if asked in MANAGERS and manager.source == "importlib":
        manager.name = "ShapedRewardManager"
    elif legacy is not None:
        raise RefusedKey(
            f"reward_model.reward_manager={legacy} is refused: name a manager of veRL with "
            "reward.reward_manager.source=register and reward.reward_manager.name."
        )


def _move(config: DictConfig, old: str, new: str) -> None:
    for name in list(_given(config, old)):
        OmegaConf.update(config, f"{new}{name[len(old) :]}", _take(config, name), force_add=True)


def _given(config: DictConfig, block: str) -> Iterator[str]:
    """Leaves at or below `block` that have a value."""
    node = OmegaConf.select(config, block, throw_on_missing=False)
    if isinstance(node, DictConfig):
        for key in node:
            yield from _given(config, f"{block}.{key}")
    elif node is not None:
        yield block


def _take(config: DictConfig, name: str) -> Any:
    """The value of a key, which is gone afterwards; None where it was not given."""
    parent_name, _, key = name.rpartition(".")
    parent = OmegaConf.select(config, parent_name) if parent_name else config
    return parent.pop(key, None) if isinstance(parent, DictConfig) else None
