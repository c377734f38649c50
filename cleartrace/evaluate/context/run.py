"""Arms of an evaluation: the same tasks, seeds and agent under one context after another."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Progress
from cleartrace.agents.workplace import AgentConfig, Workplace, WorkplaceError, open_workplace
from cleartrace.context.provider import ContextProvider
from cleartrace.context.providers.spec import provider_from_spec
from cleartrace.data.errors import DataError
from cleartrace.data.files import write_json
from cleartrace.episodes.files import StoreError
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Task
from cleartrace.evaluate.context.arm import Arm, Asked, Manifest
from cleartrace.llm.ledger import LEDGER

EPISODES = "episodes"
RUNS = "runs.json"
"""Ids of an arm's runs. Arms share runs where their contexts are the same."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        contexts: providers as `provider_from_spec` reads them, the first being what others are compared with.
        runs: passes over the tasks; pass i has the same seed in every arm.
        limit: only the first scenarios that hold so many tasks; whole ones, so that SGC keeps its meaning.
    """

    contexts: tuple[str, ...]
    split: str = "test"
    runs: int = 3
    limit: int | None = None
    cap: int | None = None
    seed: int = 42

    @property
    def seeds(self) -> tuple[int, ...]:
        """One for each pass; those of fewer passes come first."""
        return tuple(random.Random(f"{self.seed}:pass:{number}").randrange(2**31) for number in range(self.runs))


@dataclass(frozen=True)
class Started:
    """An arm about to be run: its name, and how many runs it has."""

    name: str
    runs: int


async def measure(
    config: AgentConfig,
    plan: Plan,
    folder: Path,
    begin: Callable[[Started], None] = lambda started: None,
    progress: Callable[[Progress], None] | None = None,
) -> list[Arm]:
    """Run what the folder's store does not hold yet. Each arm's manifest goes to `<folder>/<name>/`.

    Raises:
        WorkplaceError: settings that cannot be used, said before anything is run.
        BudgetExhausted: what was finished is in the store; the same call goes on.
    """
    async with AsyncExitStack() as stack:
        store = EpisodeStore(folder / EPISODES)
        place = await open_workplace(config, store, stack, cap=plan.cap, ledger=folder / LEDGER, progress=progress)
        tasks = whole_scenarios(place.split(plan.split), plan.limit)
        providers = _providers(plan, place)
        place.models.check()
        arms = []
        for name, spec, provider in zip(names(plan.contexts), plan.contexts, providers, strict=True):
            begin(Started(name, len(tasks) * plan.runs))
            arms.append(await _arm(name, spec, provider, config, plan, tasks, place, folder))
        return arms


def _providers(plan: Plan, place: Workplace) -> list[ContextProvider]:
    """All of them before the first run, so that a file that cannot be read costs none."""
    try:
        return [provider_from_spec(spec, plan.cap, place.models) for spec in plan.contexts]
    except (ValueError, DataError) as error:
        raise WorkplaceError(str(error)) from error


async def _arm(
    name: str, spec: str, provider: ContextProvider, config: AgentConfig, plan: Plan, tasks: Sequence[Task],
    place: Workplace, folder: Path,
) -> Arm:  # fmt: skip
    manifest = Manifest(
        environment=config.environment, environment_options=config.environment_options, split=plan.split,
        tasks=tuple(map(Asked.of, tasks)), agent=place.agent.hash, agent_settings=config.decoding, context=spec,
        context_hash=provider.hash, cap=plan.cap, seeds=plan.seeds,
    )  # fmt: skip
    manifest.save(folder / name)
    requests = [RunRequest(task, seed, provider) for seed in plan.seeds for task in tasks]
    arm = Arm.of(name, manifest, await place.runner.run(requests))
    write_json(folder / name / RUNS, [episode.id for episode in arm.episodes])
    return arm


def whole_scenarios(tasks: Sequence[Task], limit: int | None) -> list[Task]:
    """The first scenarios whose tasks are together at least `limit`; all for None."""
    if limit is None:
        return list(tasks)
    sizes = Counter(task.group or task.id for task in tasks)
    chosen: set[str] = set()
    for group in sizes:
        if sum(sizes[one] for one in chosen) < limit:
            chosen.add(group)
    return [task for task in tasks if (task.group or task.id) in chosen]


def names(contexts: Sequence[str]) -> list[str]:
    """A short, different name for each arm, fit for a folder.

    Example:
        >>> names(["none", "playbook:runs/rcl/best.json", "playbook:runs/other/best.json"])
        ['none', 'playbook-best', 'playbook-best-2']
    """
    found: list[str] = []
    for spec in contexts:
        kind, _, rest = spec.partition(":")
        stem = Path(rest.partition("?")[0].partition("@")[0]).stem
        name = re.sub(r"[^\w.+-]+", "-", f"{kind}-{stem}" if stem else kind).strip("-")
        same = sum(one == name or re.fullmatch(rf"{re.escape(name)}-\d+", one) is not None for one in found)
        found.append(f"{name}-{same + 1}" if same else name)
    return found


def load_arm(folder: Path) -> Arm:
    """An arm that `measure` finished. Raises `DataError`."""
    manifest = Manifest.load(folder)
    path = folder / RUNS
    try:
        store = EpisodeStore(folder.parent / EPISODES, create=False)
        episodes = [store.get(id) for id in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        raise DataError(path, "the arm was not finished; the command that began it goes on with it") from None
    except (StoreError, ValueError) as error:
        raise DataError(path, str(error)) from None
    return Arm.of(folder.name, manifest, episodes)
