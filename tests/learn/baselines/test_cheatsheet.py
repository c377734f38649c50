"""A28: Dynamic Cheatsheet in the rule world, with a scripted curator."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Runner
from cleartrace.environments.ruleworld import RuleWorld, SimulatedAgent
from cleartrace.episodes.types import Episode, Failure, FailureKind, Outcome, Task
from cleartrace.learn.baselines.cheatsheet import Cheatsheet, CheatsheetConfig, CheatsheetStep, memory_in
from cleartrace.learn.facts import Facts
from cleartrace.llm.protocol import Finish, Message, Reply, Request, Role
from cleartrace.llm.scripted import Scripted
from cleartrace.llm.tokens import count_tokens

WORLD = RuleWorld(seed=7)
RULES = WORLD.world.gold_context().splitlines()


class Watched:
    """A runner that keeps what was asked of it, and spoils every third run where it is told to."""

    def __init__(self, spoil: bool = False) -> None:
        self.requests: list[RunRequest] = []
        self.spoiled: set[str] = set()
        self._runner, self._spoil = Runner(SimulatedAgent(WORLD.world)), spoil

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        [request], [episode] = requests, await self._runner.run(requests)
        self.requests.append(request)
        if self._spoil and len(self.requests) % 3 == 0:
            self.spoiled.add(request.task.id)
            lost = Outcome(score=None, failure=Failure(kind=FailureKind.SANDBOX, message="the disk is full"))
            episode = episode.model_copy(update={"outcome": lost})
        return [episode]

    @property
    def shown(self) -> list[str]:
        """The memory beside each task."""
        return [asyncio.run(one.provider.context_for(one.task, one.seed)).text for one in self.requests]


def one_rule_more(request: Request) -> str:
    """Carries over what it knows, and adds one of the true rules."""
    old = request.messages[-1].content.split("</cheatsheet>")[0]
    known = [rule for rule in RULES if rule in old]
    return "I think.\n<cheatsheet>\n" + "\n".join(RULES[: len(known) + 1]) + "\n</cheatsheet>"


def learn(
    watched: Watched, curator: Scripted, tasks: int = 12, **settings: object
) -> tuple[str, tuple[CheatsheetStep, ...]]:
    config = CheatsheetConfig(**settings)  # type: ignore[arg-type]
    facts = Facts("ruleworld", WORLD.domain, dict(WORLD.sections))
    return asyncio.run(Cheatsheet(watched, curator, facts, config).learn(WORLD.tasks("train")[:tasks]))


def texts(curator: Scripted) -> list[str]:
    return ["\n".join(message.content for message in request.messages) for request in curator.requests]


def test_the_memory_grows_from_task_to_task_and_helps() -> None:
    watched, curator = Watched(), Scripted(one_rule_more)
    memory, steps = learn(watched, curator)
    assert watched.shown == ["\n".join(RULES[:n]) for n in range(12)], "each task is run with the memory of before"
    assert len(curator.requests) == len(steps) == 12 and {one.role for one in curator.requests} == {Role.MUTATOR}
    assert steps[-1].tokens == count_tokens(memory) and not any(step.kept for step in steps)
    world, test = WORLD.world, WORLD.tasks("test")
    assert world.mean_success(test, memory) > world.mean_success(test, "") + 0.1


def test_a28_the_order_is_the_seed_s() -> None:
    orders = [[step.task_id for step in learn(Watched(), Scripted(one_rule_more), seed=s)[1]] for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2] and set(orders[0]) == {task.id for task in WORLD.tasks("train")[:12]}


def test_the_curator_sees_this_task_and_none_to_come_and_no_score() -> None:
    watched, curator = Watched(), Scripted(one_rule_more)
    learn(watched, curator)
    tasks: list[Task] = [request.task for request in watched.requests]
    for number, text in enumerate(texts(curator)):
        assert tasks[number].input in text and "score" not in text.lower()
        assert not any(later.input in text for later in tasks[number + 1 :])


def test_spoiled_runs_do_not_reach_the_memory() -> None:
    watched, curator = Watched(spoil=True), Scripted(one_rule_more)
    memory, steps = learn(watched, curator)
    lost = [step for step in steps if step.score is None]
    assert [step.task_id for step in lost] == [step.task_id for step in steps[2::3]] and len(lost) == 4
    assert all("no fault of the model" in step.kept for step in lost)
    assert len(curator.requests) == 8 and memory == "\n".join(RULES[:8])
    inputs = [request.task.input for request in watched.requests if request.task.id in watched.spoiled]
    assert not any(text in prompt for text in inputs for prompt in texts(curator))


@pytest.mark.parametrize("reply", ["no tags", "<cheatsheet>cut off", "<cheatsheet> \n</cheatsheet>", ""])
def test_a_reply_that_holds_no_cheatsheet_keeps_the_memory(reply: str) -> None:
    answers = iter(["<cheatsheet>Weigh first.</cheatsheet>", reply, "<cheatsheet>Weigh twice.</cheatsheet>"])
    memory, steps = learn(Watched(), Scripted(lambda request: next(answers)), tasks=3)
    assert memory == "Weigh twice." and [bool(step.kept) for step in steps] == [False, True, False]
    assert steps[1].tokens == steps[0].tokens == count_tokens("Weigh first.")


def test_the_last_of_several_counts_and_a_filtered_reply_none() -> None:
    said = Message(role="assistant", content="<cheatsheet>a</cheatsheet> no: <cheatsheet>b</cheatsheet>")
    assert memory_in(Reply(message=said)) == "b" and memory_in(Reply(message=said, finish=Finish.FILTERED)) is None


def test_the_memory_is_within_its_cap_and_what_is_kept_is_what_is_shown() -> None:
    watched, curator = Watched(), Scripted(one_rule_more)
    memory, steps = learn(watched, curator, cap=40)
    assert 0 < max(step.tokens for step in steps) <= 40 and count_tokens(memory) <= 40
    for before, text in zip(watched.shown[1:], texts(curator)[1:], strict=True):
        assert before and f"<cheatsheet>\n{before}\n</cheatsheet>" in text and "At most 40 tokens" in text
