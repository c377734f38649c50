"""Acceptance policies against a bench whose true effects are known."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.episodes.types import Task
from cleartrace.learn.accept import (
    Always,
    Case,
    Credited,
    Criterion,
    Paired,
    Pareto,
    Standing,
    Validation,
)
from cleartrace.learn.accept.betting import betting_interval, evidence, pairs_to_decide
from cleartrace.learn.accept.pareto import best_on, trimmed
from cleartrace.learn.accept.rule import rule
from cleartrace.llm.protocol import BudgetExhausted

TASKS = tuple(Task(environment="e", id=f"t{n}", input="") for n in range(8))


@dataclass
class Chances:
    """A bench where each word of an entry moves the chance of some tasks; luck is common to all playbooks."""

    effects: dict[str, dict[str, float]] = field(default_factory=dict)
    base: float = 0.4
    limit: int | None = None
    runs: int = 0
    unscored: frozenset[str] = frozenset()

    def apply(self, playbook, operations):
        return apply(playbook, operations).playbook

    def size(self, playbook):
        return sum(len(entry.text) for entry in playbook.entries)

    def chance(self, playbook, task):
        moves = [self.effects.get(entry.text, {}) for entry in playbook.entries]
        return self.base + sum(one.get(task.id, one.get("*", 0.0)) for one in moves)

    async def scores(self, playbook, draws):
        if self.limit is not None and self.runs + len(draws) > self.limit:
            raise BudgetExhausted(f"{self.limit} runs")
        self.runs += len(draws)
        return [
            None
            if one.task.id in self.unscored
            else float(random.Random(f"{one.task.id}:{one.seed}").random() < self.chance(playbook, one.task))
            for one in draws
        ]


def add(text):
    return Operation(op=Op.ADD, texts=(text,), section="rules")


GOOD, IDLE, BAD = "This one is good.", "This one is idle.", "This one does harm."
BENCH = {GOOD: {"*": 0.5}, IDLE: {"*": 0.0}, BAD: {"*": -0.35}}


def decide(policy, operations, bench=None, current=None, seed=1, **case):
    bench = bench or Chances(BENCH)
    case = {"affected": TASKS[:2], "anchors": TASKS[2:], "iteration": 3} | case
    wanted = Case(current or Playbook(), tuple(operations), **case)
    return asyncio.run(policy.decide(wanted, bench, seed)), bench


def texts(playbook):
    return [entry.text for entry in playbook.entries]


def test_r17_a_harmful_edit_is_rejected_and_the_published_policy_keeps_it():
    paired, bench = decide(Paired(), [add(BAD)])
    assert texts(paired.playbook) == [] and not paired.verdicts[0].kept
    assert paired.runs == bench.runs > 0
    always, bench = decide(Always(), [add(BAD)])
    assert texts(always.playbook) == [BAD] and bench.runs == 0
    assert always.verdicts[0].standing is Standing.UNTESTED


def test_r29_a_useless_edit_covers_0_and_is_not_called_validated():
    decision, _ = decide(Paired(), [add(IDLE)])
    (verdict,) = decision.verdicts
    assert not verdict.kept and verdict.standing is Standing.NO_EFFECT_SHOWN
    assert verdict.low <= 0 <= verdict.high and verdict.effect == 0


def test_each_edit_is_judged_apart_on_top_of_those_kept():
    decision, _ = decide(Paired(), [add(BAD), add(GOOD), add(IDLE)])
    assert texts(decision.playbook) == [GOOD]
    assert [one.kept for one in decision.verdicts] == [False, True, False]
    assert decision.verdicts[1].standing is Standing.VALIDATED and decision.verdicts[1].low > 0


def test_jointly_judged_edits_stand_or_fall_together():
    decision, _ = decide(Paired(apart=False), [add(BAD), add(GOOD)], Chances({GOOD: {"*": 0.1}, BAD: {"*": -0.3}}))
    assert texts(decision.playbook) == [] and len(decision.verdicts) == 1


def test_rule_16_a_tie_keeps_the_smaller_context():
    current = Playbook(entries=(Entry(id="e1", section="rules", text=IDLE), Entry(id="e2", section="rules", text=GOOD)))
    idle_goes, good_goes = ([Operation(op=Op.DELETE, entry_ids=(id,))] for id in ("e1", "e2"))
    policy = Paired(Criterion(tasks_to_shrink=8))
    idle, _ = decide(policy, idle_goes, current=current)
    assert texts(idle.playbook) == [GOOD] and "smaller" in idle.verdicts[0].reason
    good, _ = decide(policy, good_goes, current=current)
    assert texts(good.playbook) == [IDLE, GOOD]
    few, _ = decide(Paired(), idle_goes, current=current)
    assert texts(few.playbook) == [IDLE, GOOD], "8 tasks cannot say that none of 24 would lose"


def test_regressions_name_the_anchors_that_lose():
    harm = {GOOD: {"t0": 0.55, "t1": 0.55, "t5": -0.4, "*": 0.0}}
    decision, _ = decide(Paired(Criterion(pairs=200, patience=200)), [add(GOOD)], Chances(harm), seed=4)
    assert set(decision.verdicts[0].regressions) <= {"t5"}
    harm = {GOOD: {"t5": -0.4, "*": 0.0}}
    decision, _ = decide(Paired(Criterion(pairs=200, patience=200)), [add(GOOD)], Chances(harm), seed=4)
    assert decision.verdicts[0].regressions == ("t5",) and not decision.verdicts[0].kept


def test_a_short_budget_changes_nothing_and_says_so():
    few, bench = decide(Paired(max_runs=6), [add(GOOD)])
    assert texts(few.playbook) == [] and few.verdicts[0].standing is Standing.BUDGET_SHORT and bench.runs == 0
    assert "needed" in few.verdicts[0].reason
    out, bench = decide(Paired(), [add(GOOD)], Chances(BENCH, limit=5))
    assert texts(out.playbook) == [] and out.verdicts[0].standing is Standing.BUDGET_SHORT and bench.runs <= 5
    assert "5 runs" in out.verdicts[0].reason


@pytest.mark.parametrize("policy", [Validation(TASKS), Pareto(TASKS)])
def test_other_policies_change_nothing_on_a_short_budget(policy):
    decision, _ = decide(policy, [add(GOOD)], Chances(BENCH, limit=10))
    assert texts(decision.playbook) == [] and decision.verdicts[0].standing is Standing.BUDGET_SHORT


def test_without_tasks_or_effect_nothing_is_run_or_kept():
    none, bench = decide(Paired(), [add(GOOD)], affected=(), anchors=())
    assert texts(none.playbook) == [] and "no task" in none.verdicts[0].reason and bench.runs == 0
    refused, bench = decide(Paired(), [add("short")])
    assert refused.verdicts[0].standing is Standing.UNTESTED and not refused.verdicts[0].kept and bench.runs == 0


def test_runs_that_others_spoiled_are_no_pairs():
    sure = Chances({GOOD: {"*": 1.0}}, base=0.0, unscored=frozenset({"t0"}))
    decision, _ = decide(Paired(), [add(GOOD)], sure)
    pairs = decision.verdicts[0].pairs
    assert decision.verdicts[0].kept and 0 < pairs < decision.runs / 2
    spoiled, _ = decide(Paired(), [add(GOOD)], Chances(BENCH, unscored=frozenset(one.id for one in TASKS)))
    assert not spoiled.verdicts[0].kept and spoiled.verdicts[0].effect is None


def test_runs_without_the_edit_are_made_once_for_all_edits():
    _, bench = decide(Paired(), [add(IDLE), add(IDLE + " Too.")])
    assert bench.runs == 3 * 8


def test_equal_cases_are_equal_decisions():
    assert decide(Paired(), [add(GOOD)])[0] == decide(Paired(), [add(GOOD)])[0]
    assert decide(Pareto(TASKS), [add(GOOD)])[0] == decide(Pareto(TASKS), [add(GOOD)])[0]


def test_fixed_n_runs_all_pairs_before_it_tests():
    decision, bench = decide(Paired(Criterion(sequential=False, pairs=24)), [add(GOOD)])
    assert decision.verdicts[0].kept and decision.verdicts[0].pairs == 24 and bench.runs == 48
    assert not decide(Paired(Criterion(sequential=False)), [add(BAD)])[0].verdicts[0].kept


def test_validation_keeps_what_is_strictly_better_and_remembers_the_best():
    first, bench = decide(Validation(TASKS, repeats=4), [add(GOOD)])
    assert texts(first.playbook) == [GOOD] and bench.runs == 2 * 4 * len(TASKS)
    worse, bench = decide(Validation(TASKS, repeats=4), [add(BAD)], current=first.playbook, memory=first.memory)
    assert texts(worse.playbook) == [GOOD] and worse.memory == first.memory and bench.runs == 4 * len(TASKS)
    assert first.verdicts[0].standing is Standing.UNTESTED


def test_a_pareto_front_keeps_what_is_best_somewhere():
    bench = Chances({GOOD: {"t0": 1.0, "t1": -1.0}, IDLE: {"t1": 1.0, "t0": -1.0}, BAD: {"*": -1.0}}, base=0.0)
    policy = Pareto(TASKS[:2])
    first, _ = decide(policy, [add(GOOD)], bench)
    second, _ = decide(policy, [add(IDLE)], bench, memory=first.memory)
    assert len(second.memory["front"]) == 2 and second.verdicts[0].kept
    third, _ = decide(policy, [add(BAD)], bench, memory=second.memory)
    assert not third.verdicts[0].kept and third.memory == second.memory
    drawn = {
        tuple(texts(decide(policy, [add(BAD)], bench, memory=second.memory, iteration=n)[0].playbook)) for n in range(9)
    }
    assert drawn == {(GOOD,), (IDLE,)}


def test_a_blamed_entry_goes_only_if_nothing_is_lost():
    entries = tuple(Entry(id=f"e{n}", section="rules", text=t, harmful=3) for n, t in enumerate((GOOD, IDLE, BAD)))
    policy = Credited(Always(), TASKS, draws=40)
    decision, _ = decide(policy, [], current=Playbook(entries=entries))
    assert texts(decision.playbook) == [GOOD]
    assert [one.kept for one in decision.verdicts] == [False, True, True]
    again, bench = decide(policy, [], current=decision.playbook, memory=decision.memory)
    assert bench.runs == 0 and texts(again.playbook) == [GOOD]


def test_evidence_is_rarely_won_where_nothing_is_to_be_had():
    """Ville's bound: looked at after every second of 60 pairs, at most 5 % of fair games ever reach 20."""
    reached = 0
    for seed in range(200):
        draw = random.Random(f"fair:{seed}")
        pairs = [draw.choice((-1.0, 0.0, 1.0)) for _ in range(60)]
        reached += any(evidence(pairs[:n]) >= 20 for n in range(2, 61, 2))
    assert reached / 200 <= 0.05


def test_betting_intervals_hold_the_mean_at_every_look():
    missed = 0
    for seed in range(100):
        draw = random.Random(f"mean:{seed}")
        pairs = [draw.choice((0.0, 0.0, 1.0, 1.0, -1.0)) for _ in range(60)]
        looks = [betting_interval(pairs[:n]) for n in (5, 10, 20, 40, 60)]
        missed += any(not low <= 0.2 <= high for low, high in looks)
    assert missed / 100 <= 0.05


def test_the_rule_stops_at_the_fewest_pairs_that_can_decide():
    test = Criterion()
    assert test.fewest == pairs_to_decide(0.025) == 8
    assert rule([1.0] * 7, 20, False, test) is None
    assert rule([1.0] * 8, 20, False, test).standing is Standing.VALIDATED
    assert rule([-1.0] * 8, 20, True, test).standing is Standing.HARMFUL
    assert rule([0.0] * 8, 20, False, test).keep is False
    assert rule([0.0] * 8, 20, True, test) is None
    assert rule([0.0] * 48, 0, True, test).keep is True
    assert rule([1.0, -1.0] * 24, 0, True, test).keep is False
    with pytest.raises(ValueError, match="can prove nothing"):
        Criterion(pairs=3)
    with pytest.raises(ValueError, match="in \\[-1, 1\\]"):
        evidence([2.0])


class Outage(Chances):
    """Loses these tasks the first so many times that runs are asked for."""

    def __init__(self, effects, base, lost, times=1):
        super().__init__(effects, base)
        self.lost, self.times = lost, times

    async def scores(self, playbook, draws):
        found = await super().scores(playbook, draws)
        self.times -= 1
        pairs = zip(draws, found, strict=True)
        return [None if self.times >= 0 and one.task.id in self.lost else score for one, score in pairs]


EVERY = frozenset(one.id for one in TASKS)
BUT_T0 = EVERY - {"t0"}


@pytest.mark.parametrize("lost", [EVERY, BUT_T0])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("policy", [Validation(TASKS), Pareto(TASKS)])
def test_an_outage_lets_no_harmful_edit_in(policy, times, lost):
    """On whichever side runs are lost: BAD fails every task that the playbook in force passes, and is as good on t0."""
    harm = {BAD: {"*": -1.0, "t0": 0.0}}
    first, _ = decide(policy, [add(BAD)], Outage(harm, 1.0, lost, times))
    assert texts(first.playbook) == [] and not first.verdicts[0].kept
    again, _ = decide(policy, [add(BAD)], Chances(harm, 1.0), memory=first.memory, iteration=4)
    assert texts(again.playbook) == [] and not again.verdicts[0].kept


def test_validation_measures_what_the_best_lost_and_counts_what_the_candidate_lost_as_failed():
    gains = {GOOD: {"t0": 1.0, "t1": 1.0}}
    decision, bench = decide(Validation(TASKS), [add(GOOD)], Outage(gains, 0.0, BUT_T0))
    assert decision.verdicts[0].kept and bench.runs == 8 + 1, "only what the candidate was scored on can be compared"
    assert decision.memory == {"scores": {"t0": [1.0]}}
    decision, bench = decide(Validation(TASKS), [add(IDLE)], Chances(gains, 0.0), memory=decision.memory)
    assert set(decision.memory["scores"]) == EVERY and bench.runs == 8 + 7
    full = {"scores": {one.id: [0.5] for one in TASKS}}
    decision, _ = decide(Validation(TASKS), [add(GOOD)], Outage(gains, 0.0, BUT_T0), memory=full)
    assert not decision.verdicts[0].kept and "7 of 8 tasks were lost and count as failed" in decision.verdicts[0].reason


def test_a_task_that_one_member_lost_makes_no_other_the_best_on_it():
    assert best_on([{"t0": 1.0}, {"t0": 0.0, "t1": 1.0}]) == [1, 0]
    members = [(Playbook(), {"t0": 1.0}), (Playbook(next_id=2), {"t0": 0.5, "t1": 1.0})]
    assert trimmed(members, 5) == members, "neither is known to be as good as the other on all tasks"
    assert trimmed([members[0], (Playbook(next_id=3), {"t0": 1.0, "t1": 0.0})], 5)[0] == members[0]


def test_a_pareto_edit_is_kept_where_it_is_in_force():
    """And the counts of this iteration live on in whichever playbook is drawn."""
    bench = Chances({GOOD: {"t0": 1.0, "t1": -1.0}, IDLE: {"t1": 2.0, "t0": -1.0}}, base=0.0)
    old = Entry(id="e9", section="rules", text="An entry from before.")
    policy, start = Pareto(TASKS[:2]), Playbook(entries=(old,))
    first, _ = decide(policy, [add(GOOD)], bench, current=start)
    counted = Playbook(entries=(old.model_copy(update={"helpful": 3}), *first.playbook.entries[1:]), next_id=2)
    seen = set()
    for n in range(9):
        found, _ = decide(policy, [add(IDLE)], bench, current=counted, memory=first.memory, iteration=n)
        in_force = IDLE in texts(found.playbook)
        assert found.verdicts[0].kept is in_force and found.playbook.entry("e9").helpful == 3
        assert found.switched is False, "the only other member is the playbook in force"
        seen.add(in_force)
        other, _ = decide(policy, [add(BAD)], bench, current=found.playbook, memory=found.memory, iteration=n)
        assert other.switched is (other.playbook != found.playbook) and other.playbook.entry("e9").helpful == 3
    assert seen == {True, False}


def test_a_tie_on_what_an_outage_left_drops_nothing():
    current = Playbook(entries=(Entry(id="e1", section="rules", text=IDLE, harmful=3),))
    policy, drop = Paired(Criterion(tasks_to_shrink=8)), [Operation(op=Op.DELETE, entry_ids=("e1",))]
    decision, _ = decide(policy, drop, Chances(BENCH, unscored=frozenset({"t5"})), current=current)
    assert texts(decision.playbook) == [IDLE] and decision.verdicts[0].pairs >= 26
    trial = Credited(Always(), TASKS, draws=24)
    decision, _ = decide(trial, [], Chances(BENCH, unscored=BUT_T0), current=current)
    assert texts(decision.playbook) == [IDLE] and "pairs were lost" in decision.verdicts[0].reason
