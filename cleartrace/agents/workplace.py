"""An agent at work on an environment, opened from settings: for every command that runs one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cleartrace.agents.charged import Charged
from cleartrace.agents.protocol import ExecutionAgent
from cleartrace.agents.runner import Progress, Runner
from cleartrace.agents.settings import CallStyle, Limits
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.environments.host import Host
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.environments.registry import MissingPackage
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Task
from cleartrace.llm.budget import Budget
from cleartrace.llm.budget import Limits as BudgetLimits
from cleartrace.llm.connect import ConnectError, connect
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.protocol import LLM, Thinking

SIMULATED = "ruleworld"
"""The environment that brings an agent of its own."""


NEEDS_MODEL = ("user_model", "call_style", "temperature", "thinking_level", "max_output_tokens", "max_steps")
"""Settings that say nothing to an agent without a model."""


class WorkplaceError(ValueError):
    """Settings that no agent can be opened with; says which and why."""


class AgentSettings(BaseModel):
    """Who is run on what, and with which limits. A model is named `provider/model` or `provider/model@base_url`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str = Field("", description="Name of the environment.")
    environment_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the environment, name=value; may be repeated."
    )
    model: str = Field("", description="The agent. Without one, ruleworld takes its simulated agent.")
    user_model: str = Field("", description="Plays the user, in environments that simulate one.")
    call_style: CallStyle = Field(
        CallStyle.NATIVE, description="How the agent calls tools: native, or text for models that know none."
    )
    temperature: float | None = Field(None, ge=0, description="Of the agent; the endpoint's own unless given.")
    thinking_level: Thinking = Field(Thinking.DEFAULT, description="How long the agent may think.")
    max_output_tokens: int = Field(4096, ge=1, description="Of one reply of the agent.")
    max_steps: int = Field(100, ge=1, description="Replies of the agent in one run.")
    task_timeout: float = Field(900.0, gt=0, description="Wall seconds of one run.")
    max_workers: int = Field(8, ge=1, description="Runs at a time.")
    prices: str = Field("", description="Price table, YAML: `provider/model: {input: $, output: $}` per million.")
    max_calls: int = Field(0, ge=0, description="Model calls in all; 0 for no limit.")
    max_tokens: int = Field(0, ge=0, description="Tokens in all, read and written; 0 for no limit.")
    max_cost: float = Field(0.0, ge=0, description="Dollars in all; 0 for no limit.")

    @field_validator("environment_options", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return value
        if wrong := [one for one in value if one.find("=") < 1]:
            raise ValueError(f"an option of an environment has the form name=value, got {wrong[0]!r}")
        import yaml

        return {name: yaml.safe_load(text) for name, _, text in (one.partition("=") for one in value)}

    @property
    def simulated(self) -> bool:
        """Whether the agent is that of the rule world, without a model."""
        return self.environment == SIMULATED and not self.model

    def budget(self, ledger: Ledger) -> Budget:
        """The limits of all calls, over a ledger."""
        limits = BudgetLimits(self.max_calls or None, self.max_tokens or None, self.max_cost or None)
        return Budget(ledger, limits)


class AgentConfig(AgentSettings):
    """Settings that an agent can be opened with, once they were `checked`."""

    environment: str = Field(description="Name of the environment.")

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> AgentConfig:
        """Raises `WorkplaceError` that names every setting that is wrong."""
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            said = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            raise WorkplaceError("; ".join(said)) from None
        if not config.model and not config.simulated:
            raise WorkplaceError(f"{config.environment} needs a model: give --model provider/model")
        changed = [name for name in NEEDS_MODEL if getattr(config, name) != cls.model_fields[name].default]
        if config.simulated and changed:
            raise WorkplaceError(f"{', '.join(changed)}: no effect on {SIMULATED} without a model; give --model too")
        if config.max_cost and not config.prices:
            raise WorkplaceError("max_cost has no effect without prices")
        return config

    @property
    def decoding(self) -> dict[str, Any]:
        """What a reader of results should know of the agent."""
        names = ("model", "user_model", "call_style", "temperature", "thinking_level", "max_output_tokens", "max_steps")
        return {**{name: self.model_dump(mode="json")[name] for name in names}, "task_timeout": self.task_timeout}


@dataclass(frozen=True)
class Workplace:
    """`tasks`: of all splits. `models` connects further models on the same budget, each once."""

    tasks: Sequence[Task]
    agent: ExecutionAgent
    runner: Runner
    domain: str
    sections: Mapping[str, str]
    budget: Budget
    models: Models

    def split(self, name: str) -> list[Task]:
        """Raises `WorkplaceError` for a split that is not there."""
        found = [task for task in self.tasks if task.split == name]
        if not found:
            there = ", ".join(sorted({task.split for task in self.tasks})) or "none"
            raise WorkplaceError(f"there is no split {name!r}; there are: {there}")
        return found


async def open_workplace(
    config: AgentConfig,
    store: EpisodeStore | None,
    stack: AsyncExitStack,
    *,
    cap: int | None = None,
    ledger: Path | None = None,
    replies: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Workplace:
    """Everything needed to run the agent; what must be closed is on `stack`.

    Args:
        cap: tokens that a context may have.
        ledger: file that keeps what was spent, so that the limits hold over all starts; without one, for this one.
        replies: folder that keeps every reply of a model, so that nothing is paid for twice.

    Raises:
        WorkplaceError: the environment, its options or a model cannot be used.
    """
    budget = config.budget(Ledger(ledger))
    stack.callback(budget.ledger.close)
    models = Models(config, budget, stack, replies)
    try:
        if config.model:
            opened = await open_agent(config, models, stack)
        else:
            opened = _simulated(config, budget)
    except (ConnectError, MissingPackage, EnvironmentFault, ImportError, TypeError, ValueError) as error:
        raise WorkplaceError(str(error)) from error
    runner = Runner(
        opened.agent,
        store,
        concurrency=config.max_workers,
        time_limit_s=config.task_timeout,
        context_cap=cap,
        progress=progress,
    )
    return Workplace(opened.tasks, opened.agent, runner, opened.domain, opened.sections, budget, models)


@dataclass(frozen=True)
class Opened:
    """An agent, and what its environment says of itself. `tasks`: of all splits."""

    environment: str
    agent: ExecutionAgent
    tasks: Sequence[Task]
    domain: str
    sections: Mapping[str, str]


async def open_agent(config: AgentSettings, models: Models, stack: AsyncExitStack) -> Opened:
    """A model on an environment in processes of its own, which `stack` ends. Raises what `Host` and `connect` raise."""
    user = models(config.user_model) if config.user_model else None
    host = Host(config.environment, config.environment_options, user=user, processes=config.max_workers)
    await stack.enter_async_context(host)
    agent = ToolLoopAgent(
        models(config.model),
        host,
        limits=Limits(max_turns=config.max_steps, max_output_tokens=config.max_output_tokens),
        temperature=config.temperature,
        thinking=config.thinking_level,
        style=config.call_style,
    )
    return Opened(host.name, agent, await host.tasks(), host.domain, host.sections)


def _simulated(config: AgentConfig, budget: Budget) -> Opened:
    from cleartrace.environments.ruleworld import RuleWorld, SimulatedAgent

    world = RuleWorld(**config.environment_options)
    agent = Charged(SimulatedAgent(world.world), budget.ledger, budget)
    return Opened(world.name, agent, world.tasks(), world.domain, world.sections)


class Models:
    """Each model is connected once, whatever it is used for; `stack` closes them.

    Args:
        replies: folder that keeps every reply.
    """

    def __init__(
        self, config: AgentSettings, budget: Budget, stack: AsyncExitStack, replies: Path | None = None
    ) -> None:
        self._config, self._budget, self._stack, self._replies = config, budget, stack, replies
        self._open: dict[str, LLM] = {}

    def check(self) -> None:
        """Once all models are connected. Raises `WorkplaceError` for prices of none."""
        if self._config.prices and not self._open:
            raise WorkplaceError("prices: no effect where no model is named")

    def __call__(self, *specs: str) -> LLM:
        """The first that is named. Raises `ConnectError`."""
        spec = next(one for one in specs if one)
        if spec not in self._open:
            config = self._config
            llm = connect(
                spec,
                budget=self._budget,
                cache=self._replies,
                concurrency=config.max_workers,
                prices=config.prices or None,
            )
            self._stack.push_async_callback(llm.close)
            self._open[spec] = llm
        return self._open[spec]
