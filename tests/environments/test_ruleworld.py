"""The rule world: drawn from its seed, with exact chances, in a form that real agents can play."""

import asyncio
import re
import time

import pytest

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.context.providers import PlaybookProvider, Probing
from cleartrace.environments.protocol import Action
from cleartrace.environments.ruleworld import Habits, Kind, Options, Rule, RuleWorld, SimulatedAgent, World, rules_in
from cleartrace.environments.ruleworld.causes import Cause, diagnose
from cleartrace.environments.ruleworld.orders import make_orders
from cleartrace.episodes.types import Context, FailureKind, Task
from cleartrace.llm.protocol import ToolCall


def context(*rules: Rule) -> Context:
    return Context(text="\n".join(f"- [e{n}] {rule.text}" for n, rule in enumerate(rules, 1)))


def needy(world: World):
    return next(one for one in world.orders("train") if one.kind is Kind.PLAIN and one.needs)


def test_equal_seeds_are_equal_worlds_and_others_differ():
    assert World(4).orders() == World(4).orders() == tuple(make_orders(World(4)))
    assert World(4).rules != World(5).rules


def test_splits_share_no_customer_and_no_task():
    world = World(2)
    groups = [{task.group for task in world.tasks(split)} for split in ("train", "val", "test")]
    assert [len(one) for one in groups] == [12, 6, 6]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert len({task.id for task in world.tasks()}) == len(world.tasks()) == 24 * 5


def test_what_the_test_split_needs_can_be_met_in_training():
    missing = 0
    for seed in range(60):
        world = World(seed)
        met = {rule for one in world.orders("train") if one.kind is not Kind.INTRACTABLE for rule in one.needs}
        missing += len({rule for one in world.orders("test") for rule in one.needs} - met)
    assert missing <= 2


def test_desks_follow_from_the_rules_alone():
    for order in World(1).orders():
        if order.kind is not Kind.INTRACTABLE:
            rules = World(1).rules
            fired = [[rule.desk for rule in rules if rule.fires(item)] or ["D0"] for item in order.real]
            assert [one[0] for one in fired] == list(order.desks)


def test_a4_tasks_name_neither_desk_nor_kind():
    for task in World(3).tasks():
        assert not re.search(r"D\d|noisy|intractable", task.model_dump_json()) and task.metadata == {}


def test_simulated_rates_are_the_stated_chances():
    """Frequencies over 3,000 run seeds against the closed form, within four standard errors."""
    world = World(7)
    agent = SimulatedAgent(world)
    order = needy(world)
    needed, idle = order.needs[0], next(rule for rule in world.rules if rule not in order.needs)
    wrong = Rule(needed.mark, 0, "D9" if needed.desk != "D9" else "D8")
    for shown in (context(), context(*world.rules), context(wrong), context(needed, wrong), context(needed, idle)):
        chance = world.success(order.task, shown.text)
        rate = sum(agent.episode(order.task, shown, seed).outcome.passed for seed in range(3000)) / 3000
        assert abs(rate - chance) < 4 * (chance * (1 - chance) / 3000) ** 0.5 + 1e-9


def test_conflicts_distractors_and_long_contexts_cost_and_rules_help():
    world = World(7)
    order = needy(world)
    full, wrong = (
        context(*order.needs).text,
        Rule(order.needs[0].mark, 0, "D9" if order.needs[0].desk != "D9" else "D8"),
    )
    base = world.success(order.task, full)
    assert world.success(order.task, "") < 0.1 < 0.85 < base
    assert world.success(order.task, f"{full}\n- {wrong.text}") < 0.6 * base
    assert base * 0.9 < world.success(order.task, full + "\n- Be careful." * 10) < base
    assert world.success(order.task, full + "\n- " + "word " * 2000) < 0.6 * base
    intractable = next(one for one in world.orders() if one.kind is Kind.INTRACTABLE)
    assert world.success(intractable.task, world.gold_context()) == 0.0


def test_equal_run_seeds_are_equal_luck_under_two_contexts():
    """With common random numbers a better context never turns a success into a failure."""
    world = World(5)
    agent, order = SimulatedAgent(world), needy(World(5))
    poor, rich = context(), context(*world.rules)
    pairs = [[agent.episode(order.task, one, seed).outcome.passed for one in (poor, rich)] for seed in range(300)]
    assert [True, False] not in pairs and [False, True] in pairs


def test_uncoupled_luck_differs_between_contexts():
    world = World(5, habits=Habits(coupling=0.0))
    task = world.tasks()[0].id
    assert world.luck(task, 1, "a") != world.luck(task, 1, "b")
    assert world.luck(task, 1, "a") == world.luck(task, 1, "a")


def test_a_run_is_a_pure_function_and_its_answer_looks_like_its_reason():
    world = World(6)
    agent, order = SimulatedAgent(world), needy(World(6))
    one = agent.episode(order.task, context(), 3)
    assert one == asyncio.run(agent.run(order.task, context(), 3))
    failed = next(e for s in range(50) if not (e := agent.episode(order.task, context(), s)).outcome.passed)
    assert "D0" in failed.trajectory.output.split(", ") and "belongs to" in failed.outcome.feedback
    assert diagnose(order, "").cause is Cause.GAP
    assert diagnose(order, context(*order.needs).text).cause is Cause.LUCK


def test_r5_citations_resolve_to_entry_and_revision():
    world = World(6)
    order = needy(world)
    idle = next(rule for rule in world.rules if rule.mark not in {item.mark for item in order.items})
    rules = (order.needs[0], idle)
    entries = tuple(Entry(id=f"e{n}", section="rules", text=r.text, revision=n) for n, r in enumerate(rules, 11))
    provider = PlaybookProvider(Playbook(entries=entries))
    shown = asyncio.run(provider.context_for(order.task, 0))
    runs = [SimulatedAgent(world).episode(order.task, shown, seed).trajectory for seed in range(200)]
    cited = [(part.id, part.revision) for run in runs for part in run.citations]
    assert cited.count(("e11", 11)) > 170 and cited.count(("e12", 12)) < 20
    silent = SimulatedAgent(world, cites="probed")
    assert silent.episode(order.task, shown, 1).trajectory.citations == ()
    probed = asyncio.run(Probing(provider).context_for(order.task, 0))
    assert any(silent.episode(order.task, probed, seed).trajectory.citations for seed in range(5))


def test_a_run_takes_microseconds():
    world = World(1)
    agent, shown, tasks = SimulatedAgent(world), context(*World(1).rules), World(1).tasks()
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        for task in tasks:
            agent.episode(task, shown, 1)
        best = min(best, (time.perf_counter() - start) / len(tasks))
    assert best < 200e-6


@pytest.mark.parametrize("weigh", [False, True])
def test_gold_scores_1_and_an_empty_agent_does_not(weigh):
    environment = RuleWorld(seed=3, weigh=weigh)
    for task in environment.tasks():
        session = environment.session(task.id, 0)
        assert session.start().text == task.input
        assert session.outcome().score == 0.0
        for action in environment.gold(task.id, 0):
            done = session.act(action).done
        assert done and session.outcome().passed
        empty = environment.session(task.id, 0)
        empty.act(Action(text=""))
        assert empty.outcome().failure.kind is FailureKind.FORMAT and empty.outcome().score == 0.0


def test_an_agent_that_applies_the_rules_it_reads_solves_every_tractable_task():
    """A stand-in for a model, which sees texts alone: the rules, the order, the scale."""
    environment = RuleWorld(seed=5, weigh=True)
    rules = rules_in(environment.world.gold_context())
    for order in environment.world.orders():
        session = environment.session(order.task.id, 0)
        lines = re.findall(
            r"^(\d+)\. (?:marked (\w+)|mark torn off)(, cancelled)?$", session.start().text, re.MULTILINE
        )
        calls = tuple(ToolCall(id=n, name="weigh", arguments={"item": int(n)}) for n, _, _ in lines)
        weights = [int(one.text.split()[0]) for one in session.act(Action(calls=calls)).results]
        desks = []
        for (_, mark, cancelled), weight in zip(lines, weights, strict=True):
            if not cancelled:
                desks += [rule.desk for rule in rules if rule.mark == mark and weight > rule.above][:1] or ["D0"]
        session.act(Action(text="The answer is\n" + ", ".join(desks)))
        assert session.outcome().passed or order.kind is Kind.INTRACTABLE


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ToolCall(id="1", name="weigh", arguments={"item": 99}), "whole number from 1"),
        (ToolCall(id="1", name="weigh", arguments={"item": True}), "whole number"),
        (ToolCall(id="1", name="weigh", arguments=None, raw="{"), "got None"),
        (ToolCall(id="1", name="lift", arguments={}), "no tool 'lift'"),
    ],
)
def test_wrong_calls_are_told_so(call, said):
    environment = RuleWorld(seed=3, weigh=True)
    (result,) = environment.session(environment.tasks()[0].id, 0).act(Action(calls=(call,))).results
    assert result.is_error and said in result.text


def test_unknown_tasks_and_impossible_options_are_errors():
    with pytest.raises(ValueError, match="no task 'x-1'"):
        World(1).success(Task(environment="ruleworld", id="x-1", input=""), "")
    with pytest.raises(ValueError, match="cannot meet all 12 rules"):
        Options(scenarios=(3, 1, 1))
    with pytest.raises(ValueError, match="at most 24"):
        Options(scenarios=(20, 6, 6))
    assert len(RuleWorld(seed=1, options={"rules": 4}).world.rules) == 4
