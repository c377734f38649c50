"""The families of rule-style pairs: each is a pure function of a random generator and a level (1 easy to 3 hard).

In every family but `fact` the two contexts hold the same words in another arrangement, and in `derivation` neither
holds the answer. So counting words tells nothing: a reader must bind a value to its owner, its time or its rule.
`fact` is the easy one on purpose: the answer stands in the supporting context only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from cleartrace.pairs.make.rule_words import ACTIONS, COLOURS, HOLDERS, PEOPLE, PLACES, SERVICES, THINGS
from cleartrace.pairs.record import Context, Message, PairKind


@dataclass(frozen=True)
class RuleCase:
    """One question with two contexts; `contexts[i]` supports `answers[i]` and not the other."""

    question: str
    answers: tuple[str, str]
    contexts: tuple[Context, Context]
    kind: PairKind = PairKind.TEXT


class RuleFamily(str, Enum):
    """What a pair asks for, from easy to hard for a small model."""

    FACT = "fact"
    """Where is it? One entry of a list is another one."""
    LOOKUP = "lookup"
    """Who has it? Two people have changed their things."""
    RULE = "rule"
    """What follows? Two rules have changed their consequences."""
    TRACE = "trace"
    """What did the tool say? Two observations of an agent's trajectory have changed places."""
    EVENTS = "events"
    """Where is it at the end? Two events have changed their order."""
    RANKING = "ranking"
    """Who is the oldest? The first and the last of a row have changed places."""
    DERIVATION = "derivation"
    """What is the result? One premise has another number."""


def fact(rng: Random, level: int) -> RuleCase:
    things, places = rng.sample(THINGS, 2 * level - 1), rng.sample(PLACES, 2 * level)
    asked = rng.randrange(len(things))

    def text(place: str) -> str:
        where = [*places[:asked], place, *places[asked + 1 :]]
        return " ".join(f"The {thing} is in the {at}." for thing, at in zip(things, where, strict=False))

    answers = (places[asked], places[-1])
    return RuleCase(f"Where is the {things[asked]}?", answers, (text(answers[0]), text(answers[1])))


def lookup(rng: Random, level: int) -> RuleCase:
    people, things = rng.sample(PEOPLE, 2 * level), rng.sample(THINGS, 2 * level)
    i, j = rng.sample(range(2 * level), 2)

    def text(held: Sequence[str]) -> str:
        return " ".join(f"{who} has the {what}." for who, what in zip(people, held, strict=True))

    contexts = text(things), text(_exchanged(things, i, j))
    return RuleCase(f"Who has the {things[i]}?", (people[i], people[j]), contexts)


def rule(rng: Random, level: int) -> RuleCase:
    colours, actions = rng.sample(COLOURS, 2 * level), rng.sample(ACTIONS, 2 * level)
    i, j = rng.sample(range(2 * level), 2)

    def text(taken: Sequence[str]) -> str:
        return " ".join(f"If the light is {c}, {a}." for c, a in zip(colours, taken, strict=True))

    contexts = text(actions), text(_exchanged(actions, i, j))
    return RuleCase(f"What do you do when the light is {colours[i]}?", (actions[i], actions[j]), contexts)


def trace(rng: Random, level: int) -> RuleCase:
    services = rng.sample(SERVICES, 2 * level)
    ports = [str(port) for port in rng.sample(range(1024, 10_000), 2 * level)]
    i, j = rng.sample(range(2 * level), 2)

    def messages(read: Sequence[str]) -> tuple[Message, ...]:
        steps: list[Message] = []
        for service, port in zip(services, read, strict=True):
            steps.append(Message(role="assistant", content=f"```bash\ncat {service}.conf\n```"))
            steps.append(Message(role="tool", content=f"port {port}"))
        return tuple(steps)

    contexts = messages(ports), messages(_exchanged(ports, i, j))
    question = f"On which port does {services[i]} listen?"
    return RuleCase(question, (ports[i], ports[j]), contexts, PairKind.TRAJECTORY)


def events(rng: Random, level: int) -> RuleCase:
    who, thing = rng.choice(PEOPLE), rng.choice(THINGS)
    places = rng.sample(HOLDERS, level + 1)
    i, last = rng.randrange(level), level

    def text(at: Sequence[str]) -> str:
        first, *later = at
        moves = [f"Then {who} moves it to the {place}." for place in later]
        return " ".join([f"{who} puts the {thing} into the {first}.", *moves])

    contexts = text(places), text(_exchanged(places, i, last))
    return RuleCase(f"Where is the {thing} at the end?", (places[last], places[i]), contexts)


def ranking(rng: Random, level: int) -> RuleCase:
    people = rng.sample(PEOPLE, level + 1)
    order = rng.sample(range(level), level)

    def text(ranked: Sequence[str]) -> str:
        return " ".join(f"{ranked[k]} is older than {ranked[k + 1]}." for k in order)

    # The oldest and the youngest change places: both are named once, so no count tells who is first.
    contexts = text(people), text(_exchanged(people, 0, level))
    return RuleCase("Who is the oldest?", (people[0], people[level]), contexts)


def derivation(rng: Random, level: int) -> RuleCase:
    while True:
        premises = rng.sample(range(2, 10), 2)
        steps = [(rng.choice("+*"), rng.randrange(2, 6)) for _ in range(level)]
        answers = tuple(str(_result(premise, steps)) for premise in premises)
        contexts = tuple(_derivation_text(premise, steps) for premise in premises)
        shown = set(" ".join(contexts).replace(".", "").split())
        if answers[0] != answers[1] and not shown & set(answers):
            break
    name = "abcd"[level]
    return RuleCase(f"What is {name}?", (answers[0], answers[1]), (contexts[0], contexts[1]))


def _result(premise: int, steps: Sequence[tuple[str, int]]) -> int:
    for sign, number in steps:
        premise = premise + number if sign == "+" else premise * number
    return premise


def _derivation_text(premise: int, steps: Sequence[tuple[str, int]]) -> str:
    lines = [f"{new} = {old} {sign} {number}." for old, new, (sign, number) in zip("abc", "bcd", steps, strict=False)]
    return " ".join([f"a = {premise}.", *lines])


def _exchanged(values: Sequence[str], i: int, j: int) -> list[str]:
    changed = list(values)
    changed[i], changed[j] = changed[j], changed[i]
    return changed


FAMILIES: dict[RuleFamily, Callable[[Random, int], RuleCase]] = {
    RuleFamily.FACT: fact,
    RuleFamily.LOOKUP: lookup,
    RuleFamily.RULE: rule,
    RuleFamily.TRACE: trace,
    RuleFamily.EVENTS: events,
    RuleFamily.RANKING: ranking,
    RuleFamily.DERIVATION: derivation,
}
