"""The loop in memory, on a toy whose every step can be foreseen."""

import asyncio
from dataclasses import replace

import pytest

from cleartrace.context.playbook.leak import LeakGuard, Secret
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.learn.accept import Decision, Standing, Verdict
from cleartrace.learn.facts import Facts
from cleartrace.learn.memory.memory import OptimizerMemory
from cleartrace.learn.rcl.config import Perturbation, RclConfig
from cleartrace.learn.rcl.loop import SettingsError, Stop, optimize, start
from cleartrace.learn.rcl.step import Iteration, step
from cleartrace.llm.protocol import BudgetExhausted, Unreachable
from tests.learn.rcl.toy import Mutator, Reflector, Runner, parts


def run(config: RclConfig, made=None, playbook=None, **more):
    return asyncio.run(optimize(config, made or parts(), playbook, **more))


def one_step(config: RclConfig, made, playbook=None):
    state = start(config, made, playbook or Playbook())
    it = Iteration(config, made, {one.id: one for one in made.train}, 1, detailed=True)
    return asyncio.run(step(it, state))


def book(*texts: str) -> Playbook:
    return Playbook(
        entries=tuple(Entry(id=f"e{n}", section="s", text=text) for n, text in enumerate(texts, 1)), next_id=99
    )


def test_the_loop_learns_one_rule_an_iteration():
    done = run(RclConfig(iterations=6, batch_size=0), parts(6))
    assert [row.train_tgc for row in done.history] == [n / 6 for n in range(6)]
    assert len(done.playbook) == 6 and done.stop is Stop.FINISHED
    assert run(RclConfig(iterations=6, batch_size=0), parts(6)).state == done.state


def test_an_empty_playbook_to_start_from_keeps_its_sections():
    done = run(RclConfig(iterations=1), playbook=Playbook(sections={"rules": "what is where"}))
    assert done.playbook.sections == {"rules": "what is where"}


def test_every_edit_names_where_it_came_from():
    done = run(RclConfig(iterations=1, batch_size=0))
    source = done.playbook.entries[0].source
    assert source is not None and source.iteration == 1 and len(source.tasks) == len(source.episodes) == 1


def test_a_mini_batch_is_reflected_on_task_by_task_or_in_one_call():
    one, batched = Reflector(), Reflector()
    run(RclConfig(iterations=1, mini_batch=3), parts(reflector=one))
    run(RclConfig(iterations=1, mini_batch=3, batched_reflection=True), parts(reflector=batched))
    assert [len(call) for call in one.calls] == [1, 1, 1] and [len(call) for call in batched.calls] == [3]


def test_r4_probe_runs_are_in_no_figure():
    """All clean runs pass and every probe fails: the published train_pass was 0.667 with three runs a task."""
    made = parts(2)
    done = run(
        RclConfig(iterations=1, batch_size=0, group_size=3, dual_trace=True), made, book("rule t0 is", "rule t1 is")
    )
    (row,) = done.history
    assert (row.train_pass, row.train_tgc, row.runs, row.probes) == (1.0, 1.0, 4, 2)
    assert done.history[0].signals == 0


def test_dual_trace_runs_the_probe_on_the_luck_of_the_first_clean_run():
    made = parts(1)
    run(RclConfig(iterations=1, dual_trace=True), made)
    clean, probe = made.runner.made
    assert not clean.is_probe and probe.trajectory.context.probe == "full"
    assert clean.trajectory.seed == probe.trajectory.seed


def test_s2_pp_perturbs_every_run_and_its_runs_count():
    made = parts(1)
    done = run(RclConfig(iterations=1, pp=True, perturbation_set=Perturbation.MINIMAL), made)
    assert [one.is_probe for one in made.runner.made] == [False]
    assert made.runner.made[0].trajectory.context.text.endswith("minimal") and done.history[0].runs == 1


def test_r6_perturbation_reaches_an_empty_playbook():
    made = parts(1)
    run(RclConfig(iterations=1, pp=True, perturbation_set=Perturbation.FULL), made, Playbook())
    assert "full" in made.runner.made[0].trajectory.context.text


def test_r12_infrastructure_failures_enter_no_buffer_and_no_selection():
    made = parts(3, runner=Runner(broken=["t0", "t1", "t2"]))
    done = one_step(RclConfig(failure_replay_ratio=0.5, group_size=2), made)
    assert done.state.sampler.buffer == () and done.row.signals == 0
    assert (done.row.runs, done.row.unscored, done.row.train_pass) == (0, 6, None)


def test_r13_the_buffer_of_a_dual_and_grouped_run_holds_task_ids_alone():
    made = parts(4)
    done = one_step(
        RclConfig(batch_size=0, failure_replay_ratio=0.5, group_size=3, dual_trace=True), made, book("rule t0 is")
    )
    assert sorted(one.task_id for one in done.state.sampler.buffer) == ["t1", "t2", "t3"]
    assert [one.task_id for one in done.state.sampler.buffer if one.reflected] == [done.record.reflected[0]]


def test_r13_in_a_group_any_pass_is_a_pass():
    made = parts(1, runner=Runner(lucky=["t0"]))
    done = one_step(RclConfig(failure_replay_ratio=0.5, group_size=8), made)
    assert done.row.contrastive == 1 and done.state.sampler.buffer == ()


def test_r26_a_reflector_that_raises_leaves_no_mark_and_no_count():
    made = parts(reflector=Reflector(error=Unreachable("no route"), fail_at=2))
    done = run(RclConfig(iterations=5, batch_size=0, failure_replay_ratio=0.5), made)
    assert done.stop is Stop.MODEL_FAILED and "Unreachable in iteration 2: no route" in done.reason
    assert done.state.iteration == 1 and len(done.history) == 1
    assert sum(done.state.sampler.reflected.values()) == 1
    assert [entry.harmful for entry in done.playbook.entries] == [0]


def test_r26_a_mutator_that_raises_leaves_the_counts_as_they_were():
    class Broken(Mutator):
        async def propose(self, *args, **kwargs):
            raise Unreachable("no route")

    done = run(RclConfig(iterations=2), parts(mutator=Broken()), book("an entry of some length"))
    assert done.playbook == book("an entry of some length") and done.state.sampler.seen == {}


def test_counts_and_pruning_come_before_the_mutator():
    mutator = Mutator(propose=())
    run(RclConfig(iterations=3, prune_threshold=2), parts(mutator=mutator), book("an entry of some length"))
    assert [[entry.harmful for entry in seen.entries] for seen, _ in mutator.seen] == [[1], [], []]


def test_s6_validation_that_did_not_run_is_null():
    done = run(RclConfig(iterations=3, val_interval=2, batch_size=0), parts(3, validation=2))
    assert [row.val_pass for row in done.history] == [0.0, None, 0.0]
    assert done.final is not None and done.final.n == 2
    assert [row.val_pass for row in run(RclConfig(iterations=1)).history] == [None]


def test_validation_scores_the_playbook_before_the_edits_and_on_equal_luck():
    made = parts(2, validation=1)
    mutator = Mutator(propose=[Operation(op=Op.ADD, texts=("rule v0 says pass",))])
    done = run(RclConfig(iterations=2), parts(2, validation=1, mutator=mutator))
    assert [row.val_pass for row in done.history] == [0.0, 1.0]
    run(RclConfig(iterations=2), made)
    seeds = {one.trajectory.seed for one in made.runner.made if one.task_id == "v0"}
    assert len(seeds) == 1


def test_r17_the_best_is_kept_apart_from_the_last():
    """A mutator that deletes everything after the first iteration: the last playbook is worse than the best."""

    class Spoiler(Mutator):
        async def propose(self, playbook, *args, **kwargs):
            self.fixed = [Operation(op=Op.DELETE, entry_ids=(entry.id,)) for entry in playbook.entries]
            return await super().propose(playbook, *args, **kwargs)

    seed = book("rule v0 says pass")
    done = run(RclConfig(iterations=2), parts(2, validation=1, mutator=Spoiler()), seed)
    assert len(done.playbook) == 0 and [entry.text for entry in done.best.playbook.entries] == ["rule v0 says pass"]
    assert (done.best.value, done.best.iteration) == (1.0, 0)


def test_r17_a_policy_that_rejects_keeps_the_playbook():
    class Never:
        name = "never"

        async def decide(self, case, bench, seed):
            bad = Verdict(operations=case.operations, kept=False, standing=Standing.HARMFUL, reason="it did harm")
            return Decision(playbook=case.current, verdicts=(bad,), runs=4, memory={"n": case.memory.get("n", 0) + 1})

    done = run(RclConfig(iterations=3, batch_size=0), parts(3, acceptance=Never()), book("rule t1 says pass"))
    assert len(done.playbook) == 1 and done.state.acceptance == {"n": 3}
    assert done.history[0].note == "no edit was accepted: it did harm" and done.history[0].acceptance_runs == 4
    assert done.state.solved == ("t1",)


def test_a_policy_is_told_affected_and_anchor_tasks():
    seen = []

    class Watch:
        name = "watch"

        async def decide(self, case, bench, seed):
            seen.append(case)
            assert await bench.scores(case.current, []) == []
            return Decision(playbook=bench.apply(case.current, case.operations), memory={})

    run(RclConfig(iterations=2, batch_size=0), parts(3, acceptance=Watch()), book("rule t1 says pass"))
    assert [one.id for one in seen[0].anchors] == ["t1"] and len(seen[0].affected) == 1


def test_a_playbook_taken_up_by_the_policy_is_told_as_such():
    """Row, record and memory call no edit kept that is not in force, no entry compacted, none pruned that is back."""

    class Switch:
        name = "switch"

        async def decide(self, case, bench, seed):
            waits = Verdict(operations=case.operations, kept=False, standing=Standing.UNTESTED, reason="it waits")
            return Decision(playbook=book("an entry of some length"), verdicts=(waits,), switched=True)

    seed = book("an entry of some length", "and a second, which goes")
    config = RclConfig(batch_size=1, playbook_budget=500, use_optimization_state=True)
    made = parts(1, acceptance=Switch(), memory=OptimizerMemory(None, Facts("toy", "", {})))
    done = one_step(config, made, seed)
    assert (done.row.kept, done.row.compacted) == (0, 0) and "another playbook" in done.row.note
    assert [one.id for one in done.record.edit.switched] == ["e2"]
    (remembered,) = done.state.memory.change_ledger
    assert remembered.operations == () and "another playbook" in remembered.summary
    pruned = one_step(RclConfig(batch_size=1, prune_threshold=1), parts(1, acceptance=Switch()), seed)
    assert [one.id for one in pruned.record.edit.pruned] == ["e2"]


def test_single_pass_visits_every_task_once_and_ends():
    made = parts(7)
    done = run(RclConfig(single_pass=True, batch_size=3), made)
    assert len(done.history) == 3
    assert sorted(one.task_id for one in made.runner.made) == sorted(f"t{n}" for n in range(7))


def test_variance_means_more_runs_and_no_edit():
    made = parts(1, mutator=Mutator(propose=(), more_runs=["t0"]))
    run(RclConfig(iterations=3, auxiliary_losses=True, variance_rollouts=2), made)
    seeds = [one.trajectory.seed for one in made.runner.made]
    assert len(seeds) == 1 + 3 + 1
    made = parts(1, mutator=Mutator(propose=(), more_runs=["t0"]))
    run(RclConfig(iterations=3), made)
    assert len(made.runner.made) == 3


def test_add_only_and_the_cap_refuse_edits_with_a_reason():
    longer = Mutator(propose=[Operation(op=Op.ADD, texts=("x" * 50,)), Operation(op=Op.DELETE, entry_ids=("e1",))])
    done = one_step(RclConfig(add_only=True, entry_char_cap=40), parts(mutator=longer), book("an entry of some length"))
    assert (done.row.proposed, done.row.rejected, done.row.kept) == (2, 2, 0)
    assert "at most 40" in done.row.note and "only ADD" in done.row.note


@pytest.mark.parametrize("broken", [(), ("t0",)])
def test_a6_a_playbook_to_start_from_that_is_over_the_budget_is_cut_on_record(broken):
    """Also where the first iteration has no signal."""
    seed = book(*(f"advice number {n} of some length, which takes room" for n in range(6)))
    config, made = RclConfig(playbook_budget=60), parts(1, runner=Runner(broken), mutator=Mutator(propose=()))
    done = one_step(config, made, seed)
    there = {one.id for one in done.state.playbook.entries}
    assert done.row.compacted == len(done.record.edit.compacted) > 0
    assert there | {one.id for one in done.record.edit.compacted} == {one.id for one in seed.entries}
    assert done.state.left_out == (), "it is told once"


def test_an_edit_that_says_an_answer_is_rejected_with_the_guard():
    says = [Operation(op=Op.ADD, texts=(text,)) for text in ("The code is KX-2291.", "Look the code up first.")]
    made = parts(mutator=Mutator(propose=says), guard=LeakGuard([Secret(text="KX-2291", task_id="t3")]))
    done = one_step(RclConfig(leak_guard=True), made)
    assert [entry.text for entry in done.state.playbook.entries] == ["Look the code up first."]
    assert (done.row.proposed, done.row.rejected, done.row.kept) == (2, 1, 1)
    assert done.record.edit.rejected[0].reason == "the text gives away the answer of t3: kx-2291"


def test_a_budget_ends_the_run_and_says_which():
    calls = []

    def guard() -> None:
        calls.append(1)
        if len(calls) == 10:
            raise BudgetExhausted("max_calls 20")

    done = run(RclConfig(iterations=9), guard=guard)
    assert done.stop is Stop.BUDGET and "max_calls 20" in done.reason and done.state.iteration == 2


def test_a_run_stops_when_nothing_is_scored_any_more():
    done = run(RclConfig(iterations=9), parts(2, runner=Runner(broken=["t0", "t1"])))
    assert done.stop is Stop.NOTHING_SCORED and done.state.iteration == 3
    assert done.reason == "no run was scored in the last 3 iterations; every run was lost: sandbox, down"


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (RclConfig(), {"n": 0}, "no tasks"),
        (RclConfig(dual_trace=True), {"probe": None}, "dual_trace needs"),
        (RclConfig(use_optimization_state=True), {}, "needs a memory"),
        (RclConfig(leak_guard=True), {}, "leak_guard needs right answers"),
        (RclConfig(), {"guard": LeakGuard(["KX-2291"])}, "a guard needs leak_guard"),
        (RclConfig(val_interval=2), {}, "val_interval has no effect without validation tasks"),
    ],
)
def test_r18_settings_that_do_not_go_with_the_parts_are_refused(config, changes, message):
    with pytest.raises(SettingsError, match=message):
        run(config, parts(**changes))


def test_a_task_never_sits_on_two_sides():
    tasks = parts(2).train
    with pytest.raises(SettingsError, match="tasks are in training and in validation: t1"):
        run(RclConfig(), replace(parts(2), validation=tasks[1:]))
    with pytest.raises(SettingsError, match="share the ids t0"):
        run(RclConfig(), replace(parts(), train=[tasks[0], tasks[0]]))
