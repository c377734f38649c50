"""What `cleartrace clear reward-serve` does once its options are read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from cleartrace.agents.workplace import AgentConfig, WorkplaceError
from cleartrace.learn.clear.reward.names import TOKEN_VARIABLE, URL_VARIABLE
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.server import ServeOptions, serve


def reward_serve(environment: str, store: Path, host: str, port: int, given: Mapping[str, Any]) -> None:
    """Serve until interrupted. Raises `WorkplaceError`, `NotServed`."""
    rules = {name: value for name, value in given.items() if name in RewardRules.model_fields}
    agent = {name: value for name, value in given.items() if name in AgentConfig.model_fields}
    config = AgentConfig.checked({"environment": environment, **agent})
    try:
        checked = RewardRules.model_validate(rules)
    except ValidationError as error:
        raise WorkplaceError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from None
    console = Console(soft_wrap=True, highlight=False)

    def started(url: str, stop: Callable[[], None]) -> None:
        del stop
        console.print(f"Rewards for {environment} at {url}. For the trainer:\n  export {URL_VARIABLE}={url}")

    options = ServeOptions(store, host, port, os.environ.get(TOKEN_VARIABLE) or None)
    asyncio.run(serve(config, checked, options, started))
