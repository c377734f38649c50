"""The scripted learners do what their settings say, and no more."""

import asyncio

from cleartrace.context.playbook.ops import Op
from cleartrace.context.playbook.render import render
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.context.providers import PlaybookProvider
from cleartrace.environments.ruleworld import (
    Drafting,
    Insight,
    Kind,
    ScriptedMutator,
    ScriptedReflector,
    SimulatedAgent,
    World,
    rules_in,
)
from cleartrace.environments.ruleworld.causes import false_rule
from cleartrace.environments.ruleworld.streams import stream
from cleartrace.learn.protocol import FailureType, Signal, Tag

WORLD = World(9)


def order_of(kind, needs=1):
    return next(one for one in WORLD.orders("train") if one.kind is kind and len(one.needs) >= needs)


def book(*texts):
    return Playbook(entries=tuple(Entry(id=f"e{n}", section="rules", text=t) for n, t in enumerate(texts, 1)))


def signal(order, playbook, seeds=(0,), failed=True):
    """Runs of the order; with `failed` those seeds from the first failing one on."""
    context = asyncio.run(PlaybookProvider(playbook).context_for(order.task, 0))
    agent = SimulatedAgent(WORLD, cites="probed")
    start = next(s for s in range(5000) if agent.episode(order.task, context, s).outcome.passed != failed)
    episodes = [agent.episode(order.task, context, start + seed) for seed in seeds]
    return Signal(task=order.task, episodes=tuple(sorted(episodes, key=lambda one: one.outcome.score)))


def reflections(insight, order, playbook, n=300, **options):
    reflector, one = ScriptedReflector(WORLD, insight, **options), signal(order, playbook)
    return [asyncio.run(reflector.reflect([one], playbook, seed))[0] for seed in range(n)]


def share(found, says):
    return sum(bool(says(one)) for one in found) / len(found)


def test_a_missing_rule_is_revealed_and_misread_at_the_set_rates():
    order = order_of(Kind.PLAIN)
    found = reflections(Insight(reveals=0.6, misreads=0.1), order, Playbook())
    stated = [rules_in(one.analysis) for one in found]
    assert abs(share(stated, lambda rules: rules and rules[0] in WORLD.rules) - 0.6) < 0.09
    assert abs(share(stated, lambda rules: rules and rules[0] not in WORLD.rules) - 0.1) < 0.06


def test_luck_is_seen_more_often_where_another_run_passed():
    order = order_of(Kind.NOISY)
    playbook = book(*(rule.text for rule in WORLD.rules))
    insight = Insight(sees_luck=0.2, sees_luck_in_group=0.9, edits_anyway=0.0)
    single = reflections(insight, order, playbook)
    assert abs(share(single, lambda one: "\n" not in one.analysis) - 0.2) < 0.08
    group = signal(order, playbook, range(12))
    assert group.contrastive
    reflector = ScriptedReflector(WORLD, insight)
    both = [asyncio.run(reflector.reflect([group], playbook, seed))[0] for seed in range(300)]
    assert abs(share(both, lambda one: "\n" not in one.analysis) - 0.9) < 0.06


def test_with_auxiliary_fields_what_was_seen_reaches_the_mutator():
    order = next(one for one in WORLD.orders("train") if one.kind is Kind.INTRACTABLE)
    insight, mutator = Insight(sees_intractable=1.0, edits_anyway=1.0), ScriptedMutator(WORLD, Drafting(0.0, 0.0))

    def edits(auxiliary):
        found = reflections(insight, order, Playbook(), 30, auxiliary=auxiliary)
        assert {one.failure_type for one in found} == ({FailureType.INTRACTABLE} if auxiliary else {None})
        one = signal(order, Playbook())
        return sum(
            len(asyncio.run(mutator.propose(Playbook(), [one], [reflection], "", seed)).operations)
            for seed, reflection in enumerate(found)
        )

    assert edits(auxiliary=True) == 0 and edits(auxiliary=False) == 30


def test_batched_reflection_is_one_and_adds_up_what_tasks_share():
    sharing = [one for one in WORLD.orders("train") if one.kind is Kind.PLAIN and len(one.needs) == 1]
    rule = next(r for r in WORLD.rules if sum(one.needs == (r,) for one in sharing) >= 2)
    signals = [signal(one, Playbook()) for one in sharing if one.needs == (rule,)][:2]
    insight = Insight(reveals=0.5, misreads=0.0)

    def revealed(batched):
        reflector = ScriptedReflector(WORLD, insight, batched=batched)
        made = [asyncio.run(reflector.reflect(signals, Playbook(), seed)) for seed in range(300)]
        assert {len(one) for one in made} == ({1} if batched else {2})
        first = [one[0].analysis.split(signals[1].task.id)[0] for one in made]
        return share(first, rules_in)

    assert abs(revealed(batched=False) - 0.5) < 0.09 < revealed(batched=True) - 0.5 - 0.09


def test_tags_are_less_noisy_where_the_run_says_what_it_used():
    order = order_of(Kind.PLAIN)
    wrong = false_rule(WORLD, order.needs[0].mark, stream("test"))
    playbook = book(wrong.text, *(rule.text for rule in WORLD.rules if rule not in order.needs))
    one = signal(order, playbook)
    run = one.episodes[0]
    cited = run.model_copy(
        update={"trajectory": run.trajectory.model_copy(update={"citations": run.trajectory.context.parts[:1]})}
    )

    def right(probe):
        reflector = ScriptedReflector(WORLD)
        with_probe = one.model_copy(update={"probe": probe})
        made = [asyncio.run(reflector.reflect([with_probe], playbook, seed))[0].verdicts for seed in range(200)]
        return share(made, lambda said: [v.tag for v in said if v.entry_id == "e1"] == [Tag.HARMFUL] and len(said) == 1)

    assert right(None) < 0.85 < right(cited)


def test_edits_are_spoiled_at_the_set_rates():
    order, truth = order_of(Kind.PLAIN), set(WORLD.rules)
    known = [rule for rule in WORLD.rules if rule not in order.needs]
    playbook = book(*(rule.text for rule in known))
    found = reflections(Insight(reveals=1.0), order, playbook, 1)
    mutator, one = ScriptedMutator(WORLD, Drafting(useless=1 / 3, harmful=1 / 3)), signal(order, playbook)
    kinds = {"good": 0, "useless": 0, "harmful": 0}
    for seed in range(600):
        for edit in asyncio.run(mutator.propose(playbook, [one], found, "", seed)).operations:
            rules = [rule for text in edit.texts for rule in rules_in(text)]
            good = edit.op is Op.ADD and rules and set(rules) <= truth
            kinds["good" if good else "harmful" if rules or edit.op is Op.DELETE else "useless"] += 1
    assert sum(kinds.values()) == 600 and all(150 < n < 250 for n in kinds.values())


def test_a_memory_that_is_heeded_keeps_tried_texts_and_fresh_entries_as_they_are():
    order = order_of(Kind.PLAIN)
    found = reflections(Insight(reveals=1.0), order, Playbook(), 1)
    text = next(line for line in found[0].analysis.splitlines() if line.startswith("Add: "))[5:]
    mutator, one = ScriptedMutator(WORLD, Drafting(0.0, 0.0, heeds=1.0)), signal(order, Playbook())

    def edits(memory, reflection=found[0], playbook=None):
        return asyncio.run(mutator.propose(playbook or Playbook(), [one], [reflection], memory, 1)).operations

    assert len(edits("")) == 1 and edits(f"ADD e4 in rules: {text}") == ()
    correct = found[0].model_copy(update={"analysis": f"t\nCorrect e1: {text}"})
    assert [edit.op for edit in edits("", correct, book("Something else."))] == [Op.UPDATE]
    assert edits("Edits: ADD e1 in rules: Something else.", correct, book("Something else.")) == ()
    assert edits("", found[0], book(text)) == ()


def test_the_learners_are_functions_of_the_seed():
    order = order_of(Kind.PLAIN)
    assert reflections(Insight(), order, Playbook(), 20) == reflections(Insight(), order, Playbook(), 20)
    assert render(book(WORLD.rules[0].text)).text.count("goes to desk") == 1
