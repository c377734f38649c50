"""From a command line to the configuration veRL gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from cleartrace.purify.config import SaarConfig
from cleartrace_verl import known_keys

GROUPS = ("scale", "experiment")
PUBLISHED_KEYS = {
    "enable_tool_rollback": "enable",
    "max_tool_retries": "max_retries",
    "rollback_probability": "probability",
    "similarity_threshold": "similarity_threshold",
}


class ConfigError(ValueError):
    """The command line or an experiment file cannot be used; the message says which part."""


def _register_resolvers() -> None:
    here = Path(__file__).parent
    OmegaConf.register_new_resolver(
        "cleartrace_file",
        lambda name: str(here / "config" / name if name.endswith(".yaml") else here / name),
        replace=True,
    )


def _as_forced(override: str) -> str:
    """`key=value` and `+key=value` become `++key=value`: whether the key exists is checked after composition."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ConfigError(f"Cannot read the override {override!r}: write key=value. ({error})") from error
    key = parsed.key_or_group
    if parsed.is_delete() or key in GROUPS or "@" in key or "/" in key or key.startswith("hydra."):
        return override
    return f"++{override.lstrip('+')}"


def _compose(overrides: Sequence[str], search: Sequence[Path]) -> DictConfig:
    _register_resolvers()
    path = ",".join(["pkg://verl.trainer.config", *(f"file://{folder.resolve()}" for folder in search)])
    with initialize_config_dir(str(Path(__file__).parent / "config"), version_base=None):
        return hydra_compose("cleartrace", overrides=[f"hydra.searchpath=[{path}]", *overrides])


def compose(overrides: Sequence[str], search: Sequence[Path] = ()) -> DictConfig:
    """Compose, check every key, and move SAAR's published keys to where veRL lets them live.

    Args:
        overrides: Hydra overrides; `experiment=NAME` is looked up in `search`.
        search: folders that hold an `experiment/` group.

    Raises:
        ConfigError: an override or value cannot be used.
        known_keys.UnknownKey: a key is read by nothing.
    """
    try:
        base = _compose([], search)
        config = _compose([_as_forced(o) for o in overrides], search)
    except HydraException as error:
        raise ConfigError(str(error)) from error
    known_keys.check(config, base)
    relocate(config)
    return config


def relocate(config: DictConfig) -> None:
    """`multi_turn.enable_tool_rollback` and its kin become `rollout.custom.saar.*`, which veRL accepts.

    A value given directly in `custom.saar` wins over the published name. Raises ConfigError for a bad value.
    """
    rollout = config.actor_rollout_ref.rollout
    with open_dict(config):
        published = {ours: rollout.multi_turn.pop(theirs) for theirs, ours in PUBLISHED_KEYS.items()}
        given = {str(key): value for key, value in rollout.custom.saar.items()}
        try:
            SaarConfig(**{**published, **given})
        except ValueError as error:
            raise ConfigError(f"SAAR: {error}") from error
        rollout.custom.saar = {**published, **given}
