"""From a command line to the configuration veRL gets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from cleartrace.purify.config import SaarConfig
from cleartrace_verl import known_keys, published_keys

RECIPE_GROUPS = ("experiment", "overlay")
GROUPS = ("scale", *RECIPE_GROUPS)
PUBLISHED_KEYS = published_keys.SAAR_KEYS


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
    if key in GROUPS and not parsed.is_delete():
        return override.lstrip("+")
    if parsed.is_delete() or "@" in key or "/" in key or key.startswith("hydra."):
        return override
    return f"++{override.lstrip('+')}"


def _last_choices(overrides: Sequence[str]) -> list[str]:
    """Without earlier choices of a group that is chosen again: a script names its experiment, and its user another."""
    chosen = {_group_of(text): i for i, text in enumerate(overrides)}
    return [text for i, text in enumerate(overrides) if not _group_of(text) or chosen[_group_of(text)] == i]


def _group_of(override: str) -> str:
    key, equals, _ = override.partition("=")
    return key if equals and key in GROUPS else ""


def compose_file(
    name: str, overrides: Sequence[str], search: Sequence[Path] = (), folder: str = ""
) -> tuple[DictConfig, DictConfig]:
    """The configuration of a primary file below config/, and the same file without overrides (shared: only read it).

    Raises:
        ConfigError: an override or value cannot be used.
    """
    _register_resolvers()
    places = tuple(str(place.resolve()) for place in search)
    forced = tuple(_last_choices([_as_forced(override) for override in overrides]))
    for text in forced:
        _check_choice(text, places)
    try:
        return _composed(name, forced, places, folder), _base(name, places, folder)
    except HydraException as error:
        raise ConfigError(str(error)) from error


def _check_choice(override: str, places: Sequence[str]) -> None:
    group = _group_of(override)
    if group in RECIPE_GROUPS and not any((Path(place) / group).is_dir() for place in places):
        where = ", ".join(places) or "no --recipe DIR is given"
        raise ConfigError(f"{override} cannot be looked up: there is no folder {group}/ ({where}).")


@lru_cache(maxsize=8)
def _base(name: str, places: tuple[str, ...], folder: str) -> DictConfig:
    return _composed(name, (), places, folder)


def _composed(name: str, overrides: tuple[str, ...], places: tuple[str, ...], folder: str) -> DictConfig:
    path = ",".join(["pkg://verl.trainer.config", *(f"file://{place}" for place in places)])
    with initialize_config_dir(str(Path(__file__).parent / "config" / folder), version_base=None):
        return hydra_compose(name, [f"hydra.searchpath=[{path}]", *overrides])


def compose(overrides: Sequence[str], search: Sequence[Path] = ()) -> DictConfig:
    """Compose, translate published keys, check every key, and move SAAR's options to where veRL lets them live.

    Args:
        overrides: Hydra overrides; `experiment=NAME` and `overlay=NAME` are looked up in `search`.
        search: folders that hold an `experiment/` and perhaps an `overlay/` group.

    Raises:
        ConfigError: an override or value cannot be used, or a published key is refused.
        known_keys.UnknownKey: a key is read by nothing.
    """
    config, base = compose_file("cleartrace", overrides, search)
    try:
        published_keys.translate(config)
    except published_keys.RefusedKey as error:
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
