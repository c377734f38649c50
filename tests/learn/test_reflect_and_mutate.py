"""From failed runs to a changed playbook, over one scripted model."""

import asyncio
import json

from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.counts import count
from cleartrace.context.playbook.types import Source
from cleartrace.learn.memory import IterationRecord, OptimizerMemory, OptimizerState, memory_text
from cleartrace.learn.mutate import LLMMutator, Options
from cleartrace.learn.reflect import Features, LLMReflector
from cleartrace.llm.protocol import Request, Role
from cleartrace.llm.scripted import Scripted
from tests.learn.samples import FACTS, PLAYBOOK, signal


def model(request: Request) -> str:
    """Blames e2 where a run charged twice, and lets the editor rewrite it once it is told so."""
    text = request.messages[1].content
    if request.role is Role.REFLECTOR:
        harmful = [{"entry_id": "e2", "tag": "harmful", "why": "step 2"}]
        finding = {"analysis": "e2 made it charge twice.", "verdicts": harmful, "failure_type": "actionable_gap"}
        return json.dumps({"patterns": "", "tasks": [{"task": n, **finding} for n in (1, 2)]})
    if request.role is Role.STATE:
        return json.dumps({"playbook_assessment": {"health": "fragile"}, "open_hypotheses": ["one charge is enough"]})
    edits = []
    if "e2 made it charge twice" in text:
        edits.append({"op": "UPDATE", "entry_id": "e2", "content": "Charge once; then look for the receipt."})
    if "one charge is enough" in text:
        edits = [{"op": "ADD", "section": "pay", "content": "Show the receipt to the customer."}]
    return json.dumps({"mutation_summary": "stop double charges", "operations": edits})


async def iterate(llm, playbook, memory, number):
    signals = [signal("t1", 0.0, 0.67), signal("t2", 0.0)]
    reflector = LLMReflector(llm, FACTS, Features(auxiliary=True, batched=True))
    mutator = LLMMutator(llm, FACTS, Options(auxiliary=True))
    reflections = await reflector.reflect(signals, playbook, 1)
    counted = count(playbook, [verdict for one in reflections for verdict in one.verdicts]).playbook
    proposal = await mutator.propose(counted, signals, reflections, memory_text(memory), 1)
    done = apply(counted, proposal.operations, source=Source(iteration=number, reason=proposal.summary))
    record = IterationRecord.of(number, reflections, done.applied, summary=proposal.summary, train_pass=0.34)
    remembered = await OptimizerMemory(llm, FACTS).update(memory, record, done.playbook, 1)
    return done.playbook, remembered.state


def test_findings_change_the_playbook_and_the_memory_changes_the_next_edit():
    llm = Scripted(model)
    playbook, memory = asyncio.run(iterate(llm, PLAYBOOK, OptimizerState(), 0))
    changed = playbook.entry("e2")
    assert changed is not None and changed.text == "Charge once; then look for the receipt."
    assert (changed.revision, changed.harmful, changed.history[0].harmful) == (2, 0, 5)
    assert changed.source is not None and changed.source.tasks == ("t1", "t2")

    playbook, memory = asyncio.run(iterate(llm, playbook, memory, 1))
    assert [entry.text for entry in playbook.entries][-1] == "Show the receipt to the customer."
    assert [row.summary for row in memory.change_ledger] == ["stop double charges"] * 2
    assert [request.role for request in llm.requests] == [Role.REFLECTOR, Role.MUTATOR, Role.STATE] * 2


def test_a_verdict_on_a_text_the_runs_did_not_see_is_not_counted():
    """The runs of the second iteration saw revision 1 of e2, which the first iteration rewrote (R8)."""
    llm = Scripted(model)
    playbook, memory = asyncio.run(iterate(llm, PLAYBOOK, OptimizerState(), 0))
    playbook, _ = asyncio.run(iterate(llm, playbook, memory, 1))
    entry = playbook.entry("e2")
    assert entry is not None and (entry.helpful, entry.harmful) == (0, 0)
