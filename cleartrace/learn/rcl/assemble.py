"""The parts of a run, from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cleartrace.episodes.store import EpisodeStore
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.run_config import ConfigError, RunConfig
from cleartrace.llm.budget import Budget
from cleartrace.llm.ledger import Ledger


@dataclass(frozen=True)
class Assembled:
    """`sections`: of a playbook for this environment."""

    parts: Parts
    sections: Mapping[str, str]


async def assemble(
    config: RunConfig, ledger: Ledger, budget: Budget, store: EpisodeStore, stack: AsyncExitStack
) -> Assembled:
    """Everything a run needs; what must be closed is on `stack`. Raises `ConfigError`."""
    if config.simulated:
        return _simulated(config, ledger, budget, store)
    raise ConfigError(f"{config.environment} needs a model: give --model provider/model")


def _simulated(config: RunConfig, ledger: Ledger, budget: Budget, store: EpisodeStore) -> Assembled:
    from cleartrace.environments.ruleworld import RuleWorld
    from cleartrace.learn.rcl.simulated import simulated_parts

    try:
        world = RuleWorld(**config.environment_options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"options of ruleworld: {error}") from None
    parts = simulated_parts(
        world,
        config,
        split=config.split,
        val_split="" if config.skip_validation else config.val_split,
        store=store,
        ledger=ledger,
        budget=budget,
    )
    return Assembled(parts, world.sections)
