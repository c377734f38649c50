"""The whole loop with a reflector, a mutator and a memory that ask a model, in every combination of primitives."""

import asyncio
import json
import re
from itertools import product

import pytest

from cleartrace.learn.facts import Facts
from cleartrace.learn.memory import OptimizerMemory
from cleartrace.learn.mutate import LLMMutator, Options
from cleartrace.learn.rcl.config import RclConfig
from cleartrace.learn.rcl.loop import Stop, optimize
from cleartrace.learn.reflect import Features, LLMReflector, ShellReflector
from cleartrace.llm.protocol import Request, Role
from cleartrace.llm.scripted import Scripted
from tests.learn.rcl.toy import parts

FACTS = Facts("toy", "A task passes when its rule is known.", {"rules": "what is where"})


def model(request: Request) -> str:
    text = request.messages[1].content
    if request.role is Role.REFLECTOR:
        ids = re.findall(r"^# Task \d+ of \d+: (\w+)$", text, re.MULTILINE)
        tasks = [{"task": n, "analysis": f"the rule of {id} is missing"} for n, id in enumerate(ids, 1)]
        return json.dumps(tasks[0] if len(ids) == 1 else {"tasks": tasks})
    if request.role is Role.STATE:
        return json.dumps({"playbook_assessment": {"health": "healthy"}})
    missing = re.findall(r"the rule of (\w+) is missing", text)
    edits = [
        {"op": "ADD", "section": "rules", "content": f"rule {id} says pass", "source_tasks": [id]} for id in missing
    ]
    return json.dumps({"mutation_summary": "rules", "operations": edits})


@pytest.mark.parametrize("batched, dual, grouped, auxiliary, memory, shell", list(product([False, True], repeat=6)))
def test_r10_a13_the_loop_learns_in_every_combination(batched, dual, grouped, auxiliary, memory, shell):
    config = RclConfig(
        iterations=2,
        batch_size=0,
        mini_batch=2,
        batched_reflection=batched,
        dual_trace=dual,
        group_size=3 if grouped else 1,
        auxiliary_losses=auxiliary,
        use_optimization_state=memory,
    )
    llm = Scripted(model)
    made = parts(
        4,
        reflector=(ShellReflector if shell else LLMReflector)(
            llm, FACTS, Features(auxiliary=auxiliary, batched=batched, dual=dual)
        ),
        mutator=LLMMutator(llm, FACTS, Options(auxiliary=auxiliary)),
        memory=OptimizerMemory(llm, FACTS) if memory else None,
    )
    done = asyncio.run(optimize(config, made))
    assert (done.stop, [row.train_tgc for row in done.history]) == (Stop.FINISHED, [0.0, 0.5])
    assert len(done.playbook) == 4
    assert all(len(entry.source.tasks) == 1 for entry in done.playbook.entries if entry.source)
    roles = [request.role for request in llm.requests]
    assert roles.count(Role.REFLECTOR) == (2 if batched else 4)
    assert (roles.count(Role.MUTATOR), roles.count(Role.STATE)) == (2, 2 * memory)
    told = [request.messages[1].content for request in llm.requests if request.role is Role.MUTATOR]
    assert ("Memory of earlier edits" in told[1]) is memory
