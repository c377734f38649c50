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
    """

    instead: str
    off: tuple[Any, ...] = (None,)


NEGATIVE_KEYS = {
    f"{MULTI_TURN}.save_negative_samples": "mode",
    f"{MULTI_TURN}.max_negative_samples_per_group": "max_per_group",
    "algorithm.use_dpo_on_tool_calls": "mode",
    "algorithm.dpo_beta": "beta",
    "algorithm.dpo_max_adjustment_ratio": "cap",
}
"""Names to options below `negatives` of SaarConfig; the two switches together mean `mode: legacy`."""

REFUSED = {
    f"{MULTI_TURN}.rollback_on_errors": Refusal(
        f"it gated nothing where it was published. Which errors trigger a rollback is {SAAR}.retry_on; how often each "
        f"is retried is {SAAR}.error_policy."
    ),
    "reward_model.reward_loop_source": Refusal("it is reward.reward_manager.source now, with .module.path and .name."),
    "reward_model.reward_loop_module_path": Refusal("it is reward.reward_manager.module.path now."),
    "reward_model.reward_loop_class_name": Refusal("it is reward.reward_manager.name now."),
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
        _negatives(config)
        _geometric(config)
        _manager(config)
        for old, new in MOVED.items():
            _move(config, old, new)
        for block in LEGACY_BLOCKS:
            for name in _given(config, block):
                raise RefusedKey(f"{name} is ignored by veRL 0.9.1's trainer: look for its successor below `reward`.")
            config.pop(block, None)


def _refuse(config: DictConfig) -> None:
    for name, refusal in REFUSED.items():
        if (value := _take(config, name)) not in refusal.off:
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


def _negatives(config: DictConfig) -> None:
    """Both switches on are the published shift; one alone did nothing that can be meant."""
    given = {name.rpartition(".")[2]: _take(config, name) for name in NEGATIVE_KEYS}
    limit = given["max_negative_samples_per_group"]
    saved, used = bool(given["save_negative_samples"]) and limit != 0, bool(given["use_dpo_on_tool_calls"])
    if saved != used:
        missing = "algorithm.use_dpo_on_tool_calls" if saved else f"{MULTI_TURN}.save_negative_samples"
        raise RefusedKey(
            f"negative samples need {MULTI_TURN}.save_negative_samples=true, a max_negative_samples_per_group above 0 "
            f"and algorithm.use_dpo_on_tool_calls=true together: give {missing} as well, or none. What else can be "
            f"learned from failed calls is {SAAR}.negatives."
        )
    if not used:
        return
    ours = {"mode": "legacy", "count_tokens": True, "max_per_group": limit}
    ours |= {"beta": given["dpo_beta"], "cap": given["dpo_max_adjustment_ratio"]}
    saar = config.actor_rollout_ref.rollout.custom.saar
    saar.negatives = {**{k: v for k, v in ours.items() if v is not None}, **(saar.get("negatives") or {})}


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
