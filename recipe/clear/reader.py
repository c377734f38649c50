"""A reflection agent for the rule world that needs no model: it reads runs through the shell and states rules.

It knows what an order looks like and what an evaluator's feedback looks like, and nothing of the world: whatever it
states stood in an answer of the shell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cleartrace.environments.ruleworld.rules import HOUSE_DESK, Rule
from cleartrace.llm.protocol import Message, Request, ToolCall
from cleartrace.llm.scripted import Scripted

_ITEM = re.compile(r"^\d+\. (?:marked ([A-Z]+)|mark torn off), (\d+) kg(, cancelled)?$", re.MULTILINE)
_WRONG = re.compile(r"item (\d+) belongs to (D\d+)")
_STEP = 10
"""A weight of 63 kg is stated as "more than 60 kg": the nearest round number that it is above."""


@dataclass(frozen=True)
class Run:
    """What files say of one attempt. `items`: mark and weight of those that were to be sorted, in order.

    `wrong`: place in the answer -> desk that the feedback names.
    """

    items: tuple[tuple[str, int], ...]
    answer: tuple[str, ...]
    wrong: dict[int, str]

    @property
    def desks(self) -> dict[int, str]:
        """Where the items belong, as far as this attempt shows: feedback names what went wrong; the rest is right."""
        if len(self.answer) != len(self.items):
            return dict(self.wrong)
        return dict(enumerate(self.answer)) | self.wrong


def reader() -> Scripted:
    """The agent as a model: `ls`, then every file of the attempts, then the guidance."""
    return Scripted(_answer, model="recipe/clear-reader")


def _answer(request: Request) -> Message:
    turn = sum(message.role == "assistant" for message in request.messages)
    results = [message.content for message in request.messages if message.role == "tool"]
    if turn == 0:
        return _calls(turn, [("shell", {"command": "ls"})])
    runs = re.findall(r"^(run-\d+)/$", results[0], re.MULTILINE)
    if turn == 1:
        files = ["outcomes.json", *(f"{run}/trajectory.jsonl" for run in runs)]
        return _calls(turn, [("shell", {"command": f"cat {name}"}) for name in files])
    judged, texts = json.loads(results[1]), results[2:]
    found = [read_run(text, judged[name]["feedback"]) for name, text in zip(runs, texts, strict=True)]
    evidence = [f"{name}/trajectory.jsonl and outcomes.json" for name in runs]
    return _calls(turn, [("submit", {"guidance": guidance(found), "evidence": evidence})])


def _calls(turn: int, wanted: Sequence[tuple[str, dict[str, object]]]) -> Message:
    calls = tuple(
        ToolCall(id=f"{turn}.{number}", name=name, arguments=arguments, raw=json.dumps(arguments))
        for number, (name, arguments) in enumerate(wanted)
    )
    return Message(role="assistant", calls=calls)


def read_run(trajectory: str, feedback: str) -> Run:
    """From the text of a `trajectory.jsonl` and what `outcomes.json` says of the attempt."""
    head, *steps = (json.loads(line) for line in trajectory.splitlines() if line.strip())
    order = next(step["text"] for step in steps if step["kind"] == "input" and _ITEM.search(step["text"]))
    items = tuple((mark, int(weight)) for mark, weight, cancelled in _ITEM.findall(order) if not cancelled)
    wrong = {int(place) - 1: desk for place, desk in _WRONG.findall(feedback)}
    return Run(items, tuple(re.findall(r"D\d+", head["output"])), wrong)


def guidance(runs: Sequence[Run]) -> str:
    """One sentence for each item that a rule sends away from the usual desk; "" where there is none.

    An item that belongs to the usual desk and was sorted wrongly is a slip where another attempt had it right. A single
    attempt cannot tell, and so says where the item goes.
    """
    return "\n".join(dict.fromkeys(rule.text for rule in _rules(runs)))


def _rules(runs: Sequence[Run]) -> Iterator[Rule]:
    known: dict[int, str] = {}
    for run in runs:
        known |= run.desks
    for place, (mark, weight) in enumerate(runs[0].items):
        desk = known.get(place)
        missed = all(place in run.wrong for run in runs)
        if mark and desk is not None and (desk != HOUSE_DESK or missed):
            yield Rule(mark, (weight - 1) // _STEP * _STEP, desk)
