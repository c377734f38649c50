"""Which playbook counts as the best when runs of its validation are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cleartrace.agents.protocol import RunRequest
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import Episode
from cleartrace.learn.rcl.best import challenged
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.loop import Result, optimize
from cleartrace.learn.rcl.runs import validate
from cleartrace.learn.rcl.state import Best
from tests.learn.rcl.toy import Mutator, Runner, Shown, parts

REST = [f"v{n}" for n in range(1, 10)]


class Outage(Runner):
    """Loses these tasks, in this validation alone; a rerun counts as one."""

    def __init__(self, at: int, lost: Sequence[str]) -> None:
        super().__init__()
        self.at, self.lost, self.validations = at, lost, 0

    async def run(self, requests: Sequence[RunRequest]) -> list[Episode]:
        self.validations += requests[0].task.id.startswith("v")
        self.broken = set(self.lost) if self.validations == self.at else set()
        return await super().run(requests)


class Spoiler(Mutator):
    """Deletes all but the rule of v0."""

    async def propose(self, playbook: Playbook, *args, **kwargs):
        gone = [entry.id for entry in playbook.entries if "v0" not in entry.text]
        self.fixed = [Operation(op=Op.DELETE, entry_ids=(id,)) for id in gone]
        return await super().propose(playbook, *args, **kwargs)


def book(*names: str) -> Playbook:
    return Playbook(entries=tuple(Entry(id=f"e{n}", section="s", text=f"rule {n} says pass") for n in names))


def learn(runner: Runner, mutator: Mutator, playbook: Playbook) -> Result:
    made = parts(2, validation=10, runner=runner, mutator=mutator)
    return asyncio.run(optimize(RclConfig(iterations=2), made, playbook))


def test_a_playbook_whose_runs_were_lost_does_not_become_the_best():
    done = learn(Outage(2, REST), Spoiler(), book(*["v0", *REST[:8]]))
    assert [row.val_pass for row in done.history] == [0.9, 1.0] and done.history[1].val_unscored == 9
    assert len(done.best.playbook) == 9 and (done.best.value, done.best.iteration) == (0.9, 0)


def test_what_the_best_lost_is_run_again_before_it_is_compared():
    more = Mutator(propose=[Operation(op=Op.ADD, texts=(f"rule {name} says pass",)) for name in REST[:8]])
    done = learn(Outage(1, REST), more, book("v0"))
    assert done.history[0].best_value == 1.0
    assert (done.best.value, done.best.iteration, len(done.best.scores)) == (0.9, 1, 10)


def test_a_task_that_is_always_lost_stops_no_comparison():
    runner = Runner(broken=["v9"])
    more = Mutator(propose=[Operation(op=Op.ADD, texts=("rule v1 says pass",))])
    done = learn(runner, more, book("v0"))
    assert done.best.iteration == 1 and "v9" not in done.best.scores
    assert sum(one.task_id == "v9" for one in runner.made) == 3, "it is not run again for the best"


def test_scores_on_tasks_that_left_the_validation_count_no_more():
    made = parts(2, validation=1)
    old = Best(playbook=book("v5"), value=1.0, iteration=0, scores={"v5": 1.0})
    runs = asyncio.run(validate(made.runner, Shown(book("v0")), made.validation, 1))
    best = asyncio.run(challenged(old, book("v0"), 3, runs, made, 1))
    assert best is not None and (best.iteration, best.scores) == (3, {"v0": 1.0})
