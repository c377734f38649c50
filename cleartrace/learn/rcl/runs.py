"""Which runs an iteration makes, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.provider import ContextProvider
from cleartrace.episodes.types import PASS, Episode, Task
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.groups import Group, merge
from cleartrace.learn.rcl.parts import Parts
from cleartrace.learn.rcl.sampler import Batch
from cleartrace.learn.rcl.state import Run
from cleartrace.learn.rcl.streams import seed_of


@dataclass(frozen=True)
class Scored:
    """Runs in figures. `mean`, `passed`: None without a scored run."""

    n: int
    unscored: int
    mean: float | None
    passed: float | None


def scored(episodes: Sequence[Episode]) -> Scored:
    """Figures of clean runs; probe runs are excluded by their type (R4)."""
    clean = [one for one in episodes if not one.is_probe]
    scores = [one.outcome.score for one in clean if one.outcome.score is not None]
    if not scores:
        return Scored(0, len(clean), None, None)
    passed = sum(score >= PASS for score in scores) / len(scores)
    return Scored(len(scores), len(clean) - len(scores), sum(scores) / len(scores), passed)


async def run_batch(
    parts: Parts,
    config: RclConfig,
    playbook: Playbook,
    batch: Batch,
    tasks: Mapping[str, Task],
    iteration: int,
    more_runs: Sequence[str],
) -> list[Group]:
    """Run each task of the batch as often as the settings say; one group for each, in the batch's order.

    With `dual_trace` the last run of a task is its probe, under the seed of the first clean run: the two differ in
    their instructions alone.
    """
    clean, probe = _providers(parts, config, playbook)
    requests: list[RunRequest] = []
    counts: list[int] = []
    for id in batch.task_ids:
        n = config.group_size - (config.dual_trace and config.group_size > 1)
        n += config.variance_rollouts if id in more_runs else 0
        seeds = [seed_of(config.seed, "run", iteration, id, k) for k in range(n)]
        requests += [RunRequest(tasks[id], seed, clean) for seed in seeds]
        requests += [RunRequest(tasks[id], seeds[0], probe)] if probe is not None else []
        counts.append(n + (probe is not None))
    episodes = await parts.runner.run(requests)
    groups, start, replayed = [], 0, set(batch.replayed)
    for id, n in zip(batch.task_ids, counts, strict=True):
        groups.append(merge(tasks[id], episodes[start : start + n], id in replayed))
        start += n
    return groups


async def validate(runner: EpisodeRunner, provider: ContextProvider, tasks: Sequence[Task], seed: int) -> list[Episode]:
    """One run of each task. A task has the same seed at every iteration, so that playbooks are compared on equal luck,
    and a playbook that did not change is not run again."""
    return await runner.run([RunRequest(one, seed_of(seed, "validate", one.id), provider) for one in tasks])


def listed(episodes: Sequence[Episode], replayed: bool = False) -> list[Run]:
    """Runs as the record of an iteration names them."""
    return [
        Run(
            task=one.task_id,
            seed=one.trajectory.seed,
            kind=one.trajectory.kind.value,
            score=one.outcome.score,
            episode=one.id,
            replayed=replayed,
            failure=one.outcome.failure.kind.value if one.outcome.failure else "",
        )
        for one in episodes
    ]


def _providers(parts: Parts, config: RclConfig, playbook: Playbook) -> tuple[ContextProvider, ContextProvider | None]:
    """Of clean runs, and of probe runs where there are any."""
    clean = parts.provide(playbook)
    if config.pp and parts.instruct is not None:
        return parts.instruct(clean, config.perturbation), None
    if config.dual_trace and parts.probe is not None:
        return clean, parts.probe(clean, config.perturbation)
    return clean, None
