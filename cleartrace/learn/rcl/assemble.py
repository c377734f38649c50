"""The parts of a run, from its settings: tasks, agent, learners, and the models behind them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cleartrace.agents.protocol import ExecutionAgent
from cleartrace.agents.runner import Runner
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.agents.workplace import Models, open_agent
from cleartrace.context.playbook.leak import LeakGuard
from cleartrace.context.playbook.ops import Op
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.environments.registry import MissingPackage, load
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Task
from cleartrace.episodes.view import empty_folder
from cleartrace.learn.clear.gold import gold_answers
from cleartrace.learn.facts import Facts
from cleartrace.learn.memory.memory import OptimizerMemory
from cleartrace.learn.mutate import LLMMutator, Options, Runs, Summariser
from cleartrace.learn.protocol import Reflector
from cleartrace.learn.rcl.answers import guard_of
from cleartrace.learn.rcl.config import Operations
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.run_config import ConfigError, Reads, RunConfig
from cleartrace.learn.rcl.wiring import acceptance_of, providers
from cleartrace.learn.reflect import Features, LLMReflector, ShellReflector
from cleartrace.llm.budget import Budget
from cleartrace.llm.connect import ConnectError
from cleartrace.llm.ledger import Ledger

VALIDATION_SPLITS = ("validation", "val", "dev")


@dataclass(frozen=True)
class Assembled:
    """`sections`: of a playbook for this environment. `notes`: what should be known before the run."""

    parts: Parts
    sections: Mapping[str, str]
    notes: tuple[str, ...] = ()


async def assemble(config: RunConfig, ledger: Ledger, budget: Budget, folder: Path, stack: AsyncExitStack) -> Assembled:
    """Everything that a run in `folder` needs; what must be closed is on `stack`. Raises `ConfigError`."""
    store = EpisodeStore(folder / "episodes")
    try:
        if config.simulated:
            return _simulated(config, ledger, budget, store)
        if not config.model:
            raise ConfigError(f"{config.environment} needs a model: give --model provider/model")
        return await _real(config, budget, store, folder, stack)
    except (ConnectError, MissingPackage, EnvironmentFault, ImportError, TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _simulated(config: RunConfig, ledger: Ledger, budget: Budget, store: EpisodeStore) -> Assembled:
    from cleartrace.environments.ruleworld import RuleWorld
    from cleartrace.learn.rcl.simulated import simulated_parts

    world = load(config.environment, **config.environment_options)
    assert isinstance(world, RuleWorld)
    train, validation = sides(config, world.tasks())
    parts = simulated_parts(
        world, config, train=train, validation=validation, store=store, ledger=ledger, budget=budget,
        concurrency=config.max_workers, time_limit_s=config.task_timeout,
    )  # fmt: skip
    return Assembled(parts, world.sections, notes(config, train, validation))


async def _real(
    config: RunConfig, budget: Budget, store: EpisodeStore, folder: Path, stack: AsyncExitStack
) -> Assembled:
    models = Models(config, budget, stack)
    opened = await open_agent(config, models, stack)
    train, validation = sides(config, opened.tasks)
    facts = Facts(opened.environment, opened.domain, dict(opened.sections))
    if config.reflector_reads is Reads.SHELL:
        # Its replies are kept, so that a reflection that broke goes on where it was.
        kept = Models(config, budget, stack, folder / "replies")
        reflector: Reflector = _shell_reflector(config, kept, facts, empty_folder(folder / "reading"))
    else:
        llm = models(config.reflector_model, config.model)
        reflector = LLMReflector(llm, facts, _features(config), thinking=config.thinking_level)
    provide, probe, instruct = providers(config)
    names = {role: getattr(config, role) for role in ("reflector_model", "mutator_model", "optimization_state_model")}
    parts = Parts(
        train=train,
        validation=validation,
        runner=Runner(opened.agent, store, concurrency=config.max_workers, time_limit_s=config.task_timeout),
        reflector=reflector,
        mutator=_mutator(config, models, facts),
        provide=provide,
        probe=probe,
        instruct=instruct,
        acceptance=acceptance_of(config, train, validation),
        memory=_memory(config, models, facts),
        guard=await _guard(config, opened.agent, train),
        domain={"agent": opened.agent.hash, **names},
    )
    return Assembled(parts, opened.sections, notes(config, train, validation))


def _features(config: RunConfig) -> Features:
    return Features(
        auxiliary=config.auxiliary_losses,
        batched=config.batched_reflection,
        dual=config.dual_trace,
        probes=config.perturbation.value,
    )


def _shell_reflector(config: RunConfig, models: Models, facts: Facts, scratch: Path) -> ShellReflector:
    return ShellReflector(
        models(config.reflector_model, config.model),
        facts,
        _features(config),
        limits=config.shell_limits,
        scratch=scratch,
        style=config.call_style,
        thinking=config.thinking_level,
        time_limit_s=config.task_timeout,
    )


def _mutator(config: RunConfig, models: Models, facts: Facts) -> LLMMutator:
    runs = Runs.NONE if config.omit_mutator_traces else Runs.SUMMARY if config.summarize_traces else Runs.FULL
    offered = tuple(Op) if config.operations is Operations.ALL else Options().operations
    options = Options(
        operations=(Op.ADD,) if config.add_only else offered,
        auxiliary=config.auxiliary_losses,
        runs=runs,
        entry_cap=config.entry_char_cap,
        more_runs_on_variance=config.auxiliary_losses and config.variance_rollouts > 0,
    )
    summariser = None
    if config.summarize_traces:
        llm = models(config.trace_summarizer_model, config.reflector_model, config.model)
        summariser = Summariser(llm, thinking=config.thinking_level)
    llm = models(config.mutator_model, config.model)
    return LLMMutator(llm, facts, options, summariser=summariser, thinking=config.thinking_level)


def _memory(config: RunConfig, models: Models, facts: Facts) -> OptimizerMemory | None:
    if not config.use_optimization_state:
        return None
    llm = models(config.optimization_state_model, config.reflector_model, config.model)
    return OptimizerMemory(llm, facts, max_history=config.optimization_state_max_history)


async def _guard(config: RunConfig, agent: ExecutionAgent, train: Sequence[Task]) -> LeakGuard | None:
    if not config.leak_guard or not isinstance(agent, ToolLoopAgent):
        return None
    return guard_of(train, {task.id: await gold_answers(agent.host, task.id, config.seed) for task in train})


def sides(config: RunConfig, tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
    """Tasks to learn from and to validate on. Raises `ConfigError` for a split or task that is not there."""
    splits = {one.split: [task for task in tasks if task.split == one.split] for one in tasks}
    train = _split(splits, config.split)
    if config.train_pool:
        wanted = [line.strip() for line in _lines(Path(config.train_pool)) if line.strip()]
        known = {one.id: one for one in train}
        if missing := [one for one in wanted if one not in known]:
            near = difflib.get_close_matches(missing[0], list(known), n=1, cutoff=0.0)
            raise ConfigError(
                f"{config.train_pool}: the split {config.split} has no task {missing[0]!r}; the nearest is {near[0]!r}"
            )
        train = [known[one] for one in dict.fromkeys(wanted)]
    if config.skip_validation:
        return train, []
    if config.val_split:
        return train, _split(splits, config.val_split)
    return train, next((splits[one] for one in VALIDATION_SPLITS if one in splits and one != config.split), [])


def _split(splits: Mapping[str, list[Task]], name: str) -> list[Task]:
    if name not in splits:
        raise ConfigError(f"there is no split {name!r}; there are: {', '.join(sorted(splits)) or 'none'}")
    return splits[name]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def notes(config: RunConfig, train: Sequence[Task], validation: Sequence[Task]) -> tuple[str, ...]:
    """What a reader of the figures should know."""
    found = [f"{len(train)} tasks to learn from, {len(validation)} to validate on"]
    if not validation and not config.skip_validation:
        found.append("nothing is validated: the last playbook counts as the best")
    shared = {one.group for one in train} & {one.group for one in validation} - {""}
    if shared:
        found.append(f"training and validation share {len(shared)} scenarios: validation says little about new ones")
    return tuple(found)
