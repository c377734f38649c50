"""What `cleartrace rollout-serve` does once its options are read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.agents.charged import Charged
from cleartrace.agents.protocol import ExecutionAgent
from cleartrace.agents.rollout_endpoint.agents import Agents
from cleartrace.agents.rollout_endpoint.journal import Journal
from cleartrace.agents.rollout_endpoint.server import build_app
from cleartrace.agents.rollout_endpoint.service import RolloutService, Rules
from cleartrace.agents.rollout_endpoint.store import StoreFault, open_store
from cleartrace.agents.rollout_endpoint.types import TOKEN_VARIABLE
from cleartrace.agents.workplace import SIMULATED, AgentConfig, WorkplaceError
from cleartrace.context.providers.spec import provider_from_spec
from cleartrace.environments.host import Host
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.llm.budget import Budget
from cleartrace.llm.connect import connect
from cleartrace.llm.ledger import LEDGER, Ledger
from cleartrace.llm.protocol import LLM
from cleartrace.serving import NotServed, check_binding, listen, run


@dataclass(frozen=True)
class Options:
    """Where it listens, where results go, and what rollouts are given.

    Args:
        out: folder of the journal, and of results unless `results` names another place.
        allowed: beginnings of addresses beyond loopback that requests may name as their model's.
    """

    out: Path
    results: str = ""
    context: str = "none"
    cap: int | None = None
    allowed: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8080
    waiting: int = 10_000

    @property
    def token(self) -> str | None:
        return os.environ.get(TOKEN_VARIABLE) or None


async def serve(given: Mapping[str, Any], options: Options, started: Callable[[str, Callable[[], None]], None]) -> None:
    """Serve until stopped or interrupted; what is under way then is gone on with at the next start.

    Raises: `WorkplaceError` before anything is run.
    """
    config = _config(given)
    try:
        check_binding(options.host, options.token, TOKEN_VARIABLE)
        store = open_store(options.results or str(options.out / "results"))
        async with AsyncExitStack() as stack:
            service, about = await _service(config, options, store, stack)
            left = await service.resume()
            stack.push_async_callback(service.close)
            app = build_app(service, {**about, "resumed": left}, options.token)
            await run(app, listen(options.host, options.port), started)
    except (NotServed, StoreFault, EnvironmentFault, ImportError, OSError, TypeError, ValueError) as error:
        raise error if isinstance(error, WorkplaceError) else WorkplaceError(str(error)) from error


async def _service(
    config: AgentConfig, options: Options, store: Any, stack: AsyncExitStack
) -> tuple[RolloutService, dict[str, Any]]:
    budget = config.budget(Ledger(options.out / LEDGER))
    stack.callback(budget.ledger.close)

    def model(spec: str, **more: Any) -> LLM:
        """On the budget of all."""
        llm = connect(spec, budget=budget, concurrency=config.max_workers, prices=config.prices or None, **more)
        stack.push_async_callback(llm.close)
        return llm

    user = model(config.user_model) if config.user_model else None
    host = Host(config.environment, config.environment_options, user=user, processes=config.max_workers)
    await stack.enter_async_context(host)
    own = _simulated(config, budget) if config.environment == SIMULATED and not config.model else None
    provider = provider_from_spec(options.context, options.cap, model)
    agents = Agents(own, config, host, model, options.allowed)
    service = RolloutService(
        {task.id: task for task in await host.tasks()},
        agents,
        provider,
        store,
        Journal(options.out / "journal"),
        Rules(config.max_workers, options.waiting, config.task_timeout),
    )
    return service, {"environment": host.identity, "agent": agents.hash, "context": provider.hash}


def _simulated(config: AgentConfig, budget: Budget) -> ExecutionAgent:
    from cleartrace.environments.ruleworld import RuleWorld, SimulatedAgent

    return Charged(SimulatedAgent(RuleWorld(**config.environment_options).world), budget.ledger, budget)


def _config(given: Mapping[str, Any]) -> AgentConfig:
    """As for other commands, except that requests may bring the model."""
    if given.get("model"):
        return AgentConfig.checked(given)
    config = AgentConfig.checked({**given, "model": "requests/bring-it"})
    return config.model_copy(update={"model": ""})


def rollout_serve(given: Mapping[str, Any], options: Options) -> None:
    """Serve until interrupted. Raises `WorkplaceError`."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)

    def started(url: str, stop: Callable[[], None]) -> None:
        del stop
        where = options.results or str(options.out / "results")
        console.print(f"{given['environment']}: POST {url}/invocations; results go to {where}", markup=False)

    asyncio.run(serve(given, options, started))
