"""A17: how well measured credit finds the true effect of entries, and what citations find."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from cleartrace.agents.protocol import RunRequest
from cleartrace.context.playbook.apply import without
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.context.providers import PlaybookProvider
from cleartrace.environments.ruleworld import Habits, Options, SimulatedAgent, World
from cleartrace.environments.ruleworld.causes import false_rule, idle_advice
from cleartrace.environments.ruleworld.streams import stream
from cleartrace.learn.credit import Credits, Method, citation_credit, credit_draws, dropout, leave_one_out
from recipe.rcl.study.bench import Runner, Spent, true_success

RATE, RUNS_EACH = 0.3, 4
WORLD = Options(rules=6, plain_marks=3)
LARGE, SMALL = 0.1, 0.01
"""True effects from which on a sign must be found, and up to which an entry counts as useless."""


@dataclass(frozen=True)
class Found:
    """One entry of one world, by one method."""

    seed: int
    coupling: float
    budget: int
    method: str
    entry: str
    true: float
    mean: float
    low: float
    high: float


def measure(seed: int, coupling: float, budget: int) -> list[Found]:
    """Effects in a playbook of 4 true, 2 false and 2 idle entries, each method at about `budget` agent runs.

    The true effect is that of the entry alone for leave-one-out and citations, and its mean over what else is dropped
    for dropout; both exactly, over the train tasks.
    """
    world = World(seed, WORLD, Habits(coupling=coupling))
    playbook = mixed_playbook(world)
    credits = asyncio.run(_credits(world, playbook, budget, seed))
    truths = {Method.LEAVE_ONE_OUT: alone(world, playbook), Method.DROPOUT: averaged(world, playbook)}
    found = []
    for method, credit in credits.items():
        true = truths.get(method, truths[Method.LEAVE_ONE_OUT])
        for entry, effect in zip(playbook.entries, true, strict=True):
            if one := credit.of(entry.id):
                found.append(Found(seed, coupling, budget, method.value, entry.id, effect, one.mean, one.low, one.high))
    return found


async def _credits(world: World, playbook: Playbook, budget: int, seed: int) -> dict[Method, Credits]:
    tasks, provider = world.tasks("train"), PlaybookProvider(playbook, count=len)
    runner = Runner(SimulatedAgent(world), Spent())
    draws = credit_draws(tasks, budget, seed)
    plain = await runner.run([RunRequest(one.task, one.seed, provider) for one in draws])
    few = draws[: budget // (1 + len(playbook))]
    each = draws[: budget // RUNS_EACH]
    return {
        Method.LEAVE_ONE_OUT: await leave_one_out(provider, few, runner),
        Method.DROPOUT: await dropout(provider, each, runner, rate=RATE, runs_each=RUNS_EACH, seed=seed),
        Method.CITATIONS: citation_credit(provider.parts, plain),
    }


def mixed_playbook(world: World) -> Playbook:
    """Four true rules, a false one for a mark with a rule, a false one for a mark without, two idle lines."""
    draw = stream(world.seed, "credit-playbook")
    rules = draw.sample(world.rules, 6)
    texts = [rule.text for rule in rules[:4]]
    texts += [false_rule(world, rules[4].mark, draw).text, false_rule(world, draw.choice(world.plain_marks), draw).text]
    texts += [idle_advice(rule.mark, draw) for rule in rules[:2]]
    entries = tuple(Entry(id=f"e{n}", section="rules", text=text) for n, text in enumerate(texts, 1))
    return Playbook(entries=entries, next_id=len(entries) + 1)


def alone(world: World, playbook: Playbook) -> list[float]:
    """Of each entry: true success of the playbook minus that without it."""
    whole = true_success(world, playbook, "train")
    return [whole - true_success(world, without(playbook, {one.id}), "train") for one in playbook.entries]


def averaged(world: World, playbook: Playbook, rate: float = RATE) -> list[float]:
    """Of each entry: the same, averaged over every choice of the other entries, at their chance under dropout."""
    ids = [entry.id for entry in playbook.entries]
    masks = list(itertools.product((0, 1), repeat=len(ids)))
    success = {mask: true_success(world, without(playbook, _gone(ids, mask)), "train") for mask in masks}
    effects = []
    for place in range(len(ids)):
        total = 0.0
        for mask in masks:
            if mask[place]:
                others = mask[:place] + mask[place + 1 :]
                chance = rate ** others.count(0) * (1 - rate) ** others.count(1)
                total += chance * (success[mask] - success[(*mask[:place], 0, *mask[place + 1 :])])
        effects.append(total)
    return effects


def _gone(ids: Sequence[str], mask: Sequence[int]) -> set[str]:
    return {id for id, kept in zip(ids, mask, strict=True) if not kept}
