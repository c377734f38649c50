"""Updates: facts always, opinions where allowed, `validated` by measurement alone (R29)."""

import asyncio
import json

import pytest

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.learn.accept import Standing, Verdict
from cleartrace.learn.facts import Facts
from cleartrace.learn.memory import IterationRecord, OptimizerMemory, OptimizerState, memory_text
from cleartrace.learn.memory.document import Evidence, Health, Risk, Status
from cleartrace.learn.protocol import CoverageGap, EntryVerdict, Reflection, Tag
from cleartrace.llm.protocol import BudgetExhausted, Refused, Role, Thinking
from cleartrace.llm.scripted import Scripted
from tests.learn.samples import FACTS, PLAYBOOK

ADD = Operation(op=Op.ADD, texts=("Ask for a receipt before leaving.",), section="pay")
TOLD = Reflection(
    task_ids=("t1", "t2"),
    episodes=(),
    analysis="It left without a receipt.",
    verdicts=(EntryVerdict(entry_id="e2", tag=Tag.HARMFUL),),
    gaps=(CoverageGap(situation="no receipt"),),
)


def verdict(effect, low, high, kept=True, standing=Standing.VALIDATED):
    return Verdict(
        operations=(ADD,), kept=kept, standing=standing, reason="", effect=effect, low=low, high=high, pairs=40
    )


def record(iteration=1, verdicts=(), edited=True):
    done = apply(PLAYBOOK, [ADD] if edited else [])
    return IterationRecord.of(iteration, [TOLD], done.applied, verdicts, train_pass=0.67, train_tgc=0.4)


def update(llm, one=None, state=None, playbook=PLAYBOOK, facts=FACTS, cap=10):
    memory = OptimizerMemory(llm, facts, max_history=cap)
    return asyncio.run(memory.update(state or OptimizerState(), one or record(), playbook, 7))


def opinion(*rows, **more):
    return json.dumps({"playbook_assessment": {"health": "fragile"}, "change_ledger": list(rows), **more})


def test_without_a_model_the_facts_are_remembered():
    state = update(None).state
    row = state.change_ledger[0]
    assert (state.iteration, row.iteration, row.status) == (1, 1, Status.UNTESTED)
    assert row.operations == ("ADD e3 in pay: Ask for a receipt before leaving.",)
    assert row.source_tasks == ("t1", "t2") and row.reflection_summary == "It left without a receipt."
    assert row.evidence is Evidence.MULTI_TRACE
    assert state.playbook_assessment.coverage_inventory.observed_gaps == ("no receipt",)
    assert state.playbook_assessment.entry_maturity.at_risk == ("e2",)


def test_the_model_is_asked_once_as_state_and_thinks_hard():
    llm = Scripted([opinion()])
    found = update(llm)
    (request,) = llm.requests
    assert (request.role, request.thinking) == (Role.STATE, Thinking.HIGH)
    text = request.messages[1].content
    assert "the batch scored 67 % on average; full passes:\n40 %" in text
    for part in ("It left without a receipt.", "- e2: +0 -1 ~0", "ADD e3 in pay", "[e2] (+0 -3)"):
        assert part in text
    assert found.prompt_hash.startswith("state:")


def test_opinions_stand_beside_the_facts_and_the_inventory_overrides_the_model():
    said = {
        "iteration": 1,
        "status": "watch",
        "evidence": "repeated",
        "reversal_risk": "low",
        "notes": "fills a gap",
        "summary": "I added ten entries",
        "operations": ["invented"],
    }
    assessment = {"health": "interfering", "coverage_inventory": {"total": 99}, "observed_gaps": ["refunds"]}
    reply = opinion(said, playbook_assessment=assessment, open_hypotheses=["receipts matter"])
    state = update(Scripted([reply])).state
    row, assessed = state.change_ledger[0], state.playbook_assessment
    assert (row.status, row.evidence, row.reversal_risk) == (Status.WATCH, Evidence.REPEATED, Risk.LOW)
    assert row.notes == "fills a gap" and row.operations == ("ADD e3 in pay: Ask for a receipt before leaving.",)
    assert assessed.health is Health.INTERFERING and assessed.coverage_inventory.total == 2
    assert assessed.coverage_inventory.observed_gaps == ("refunds",)
    assert state.open_hypotheses == ("receipts matter",)


def test_a_model_cannot_invent_iterations():
    state = update(Scripted([opinion({"iteration": 9, "status": "harmful"})])).state
    assert [row.iteration for row in state.change_ledger] == [1]


@pytest.mark.parametrize(
    "replies", [["no JSON", "still none"], ["[1, 2]", '{"health": "healthy"}'], [Refused("filtered")]]
)
def test_an_unreadable_reply_keeps_the_old_state_the_inventory_and_one_row(replies):
    old = update(Scripted([opinion(open_hypotheses=["keep me"])])).state
    found = update(Scripted(replies), record(2), old)
    assert found.state.open_hypotheses == ("keep me",)
    assert [row.iteration for row in found.state.change_ledger] == [1, 2]
    assert found.state.change_ledger[1].status is Status.UNTESTED
    assert found.error and found.state == update(None, record(2), old).state


def test_s3_invalid_enums_cost_only_themselves():
    rows = ({"iteration": 1, "status": "great", "notes": "x"}, {"status": "watch"}, "free text")
    found = update(Scripted([opinion(*rows, optimization_velocity={"stage": "nirvana"}, open_hypotheses=None)]))
    assert found.state.change_ledger[0].status is Status.UNTESTED and found.state.change_ledger[0].notes == "x"
    assert len(found.dropped) == 5 and not found.error


def test_another_error_is_raised():
    with pytest.raises(BudgetExhausted):
        update(Scripted([BudgetExhausted("10 calls")]))


@pytest.mark.parametrize(
    "verdicts, said, status",
    [
        ([], "validated", Status.WATCH),
        ([], "harmful", Status.HARMFUL),
        ([verdict(0.02, -0.05, 0.09)], "validated", Status.WATCH),
        ([verdict(0.1, 0.02, 0.18)], "harmful", Status.VALIDATED),
        ([verdict(0.1, 0.02, 0.18)], "superseded", Status.SUPERSEDED),
        ([verdict(-0.1, -0.18, -0.02)], "validated", Status.HARMFUL),
        ([verdict(0.1, 0.02, 0.18), verdict(-0.1, -0.2, -0.02)], "validated", Status.MIXED),
        ([verdict(0.1, 0.02, 0.18), verdict(-0.1, -0.2, -0.02, kept=False)], "untested", Status.VALIDATED),
        ([verdict(-0.1, -0.2, -0.02, kept=False)], "validated", Status.HARMFUL),
        ([verdict(None, None, None, standing=Standing.UNTESTED)], "validated", Status.WATCH),
    ],
)
def test_r29_validated_comes_from_a_measurement_and_never_from_an_opinion(verdicts, said, status):
    row = update(Scripted([opinion({"iteration": 1, "status": said})]), record(1, verdicts)).state.change_ledger[0]
    assert row.status is status


def test_r29_a_useless_edit_is_not_validated_whatever_follows():
    """Its interval covers 0, and later opinions do not change that."""
    state = update(None, record(1, [verdict(0.0, -0.06, 0.06, standing=Standing.NO_EFFECT_SHOWN)])).state
    for iteration in (2, 3):
        said = {"iteration": 1, "status": "validated", "observed_effect": "clearly better"}
        state = update(Scripted([opinion(said)]), record(iteration), state).state
    row = state.change_ledger[0]
    assert row.status is Status.WATCH
    assert row.observed_effect == "measured +0.0 points (95 % interval -6.0 to +6.0, 40 pairs), kept"


def test_r15_braces_survive():
    odd = "{x} {{ y }} {% z"
    llm = Scripted([opinion()])
    one = record().model_copy(update={"reflection_summary": odd})
    update(llm, one, facts=Facts("shop", odd, {"pay": "p"}))
    assert odd in llm.requests[0].messages[0].content and odd in llm.requests[0].messages[1].content


def test_the_text_for_the_mutator_tells_measured_from_believed():
    said = {"iteration": 2, "status": "watch", "observed_effect": "fewer double charges"}
    state = update(None, record(1, [verdict(0.1, 0.02, 0.18)])).state
    state = update(Scripted([opinion(said)]), record(2), state).state
    text = memory_text(state)
    assert "Effect (measured): measured +10.0 points (95 % interval +2.0 to +18.0, 40 pairs), kept" in text
    assert "Effect (an opinion): fewer double charges" in text
    assert "- Iteration 1 (validated, score 67 %, full passes 40 %)" in text
    assert "Thin sections: others." in text and "Health: fragile." in text


def test_nothing_remembered_is_no_text():
    assert memory_text(OptimizerState()) == ""


def test_an_iteration_is_recorded_within_limits():
    many = [TOLD.model_copy(update={"task_ids": (f"t{n}",), "analysis": f"{n} " + "long " * 500}) for n in range(12)]
    edits = [ADD.model_copy(update={"texts": (f"Advice number {n} " + "word " * 99,)}) for n in range(20)]
    one = IterationRecord.of(3, many, apply(PLAYBOOK, edits).applied)
    assert len(one.tasks) == 8 and len(one.operations) == 12 and len(one.reflection_summary) <= 1_200
    assert all(f"{n} long" in one.reflection_summary for n in range(12))
    assert max(map(len, one.operations)) <= 240
    assert len(update(None, one).state.change_ledger[0].operations) == 6


def test_a_history_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        OptimizerMemory(None, FACTS, max_history=0)
