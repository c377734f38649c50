"""An endpoint on a loopback port that plays the agent of the rule world and a reflection agent that really reads.

It can end the process that asks it, with SIGKILL, in the middle of a call.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

from typer.testing import CliRunner

from benchmarks.loopback import Answer, Asked
from cleartrace.cli import app
from cleartrace.environments.ruleworld import RuleWorld

OPTIONS = {"scenarios": (4, 1, 1), "rules": 8, "tasks_each": 3, "noisy": 0.0, "intractable": 0.0}
WORLD = ["--environment-options", "options={scenarios: [4, 1, 1], rules: 8, tasks_each: 3, noisy: 0, intractable: 0}"]


class Served:
    """Answers every request; `repeated` says which were asked more than once."""

    def __init__(self) -> None:
        self.world = RuleWorld(0, options=OPTIONS)
        self.calls: list[str] = []
        self.kill_at: int | None = None
        self.victim = 0

    def __call__(self, asked: Asked) -> Answer:
        self.calls.append(json.dumps(asked.body, sort_keys=True))
        if self.kill_at is not None and len(self.calls) >= self.kill_at:
            self.kill_at = None
            os.kill(self.victim, signal.SIGKILL)
        system, text = asked.body["messages"][0]["content"], bool(not asked.body.get("tools"))
        message = self._reflect(asked.body["messages"], text) if "compare several attempts" in system else None
        message = message or {"role": "assistant", "content": self._sort(asked.body)}
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        return Answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})

    @property
    def repeated(self) -> int:
        return sum(count - 1 for count in Counter(self.calls).values())

    def _sort(self, body: dict[str, Any]) -> str:
        """Right under half of the seeds, and else all to the usual desk."""
        number, name = re.findall(r"Order (\d+) of (\w+)", body["messages"][-1]["content"])[0]
        desks = self.world.world.order(f"{name.lower()}-{number}").desks
        return ", ".join(desks if (body["seed"] + int(number)) % 2 else ["D0"] * len(desks))

    def _reflect(self, messages: Sequence[dict[str, Any]], text: bool) -> dict[str, Any]:
        """Reads outcomes, then the order of the first run, and says what follows."""
        read = [one["content"] for one in messages[2:] if one["role"] in ("tool", "user")]
        if len(read) < 3:
            line = ("ls", "cat outcomes.json", "grep -n marked run-1/view.md")[len(read)]
            return _called("shell", {"command": line}, len(read), text)
        if "Order 3 of" in messages[1]["content"]:
            return {"role": "assistant", "content": "I have nothing to say."}
        return _called("submit", {"guidance": guidance(read[1], read[2], messages[1]["content"])}, 3, text)


def guidance(outcomes: str, lines: str, task: str) -> str:
    """From what the shell showed: nothing where all went well; the evaluator's words for one order, which is a leak."""
    judged = json.loads(outcomes[outcomes.index("{") :])
    failed = [one["feedback"] for one in judged.values() if one["score"] < 1]
    if not failed:
        return ""
    if "Order 2 of" in task:
        return f"In this order {failed[0]}."
    marks = dict(re.findall(r"(\d+)\. marked ([A-Z]+)", lines))
    found = re.findall(r"item (\d+) belongs to (D\d)", failed[0])
    return "\n".join(f"Send heavy items marked {marks[item]} to {desk}." for item, desk in found)


def _called(name: str, arguments: dict[str, Any], number: int, text: bool) -> dict[str, Any]:
    if text:
        return {"role": "assistant", "content": f"```tool\n{json.dumps({'name': name, 'arguments': arguments})}\n```"}
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"c{number}", "type": "function", "function": function}],
    }


def call(*words: object, status: int = 0) -> str:
    """A command of `cleartrace clear` in this process; returns what it printed."""
    done = CliRunner().invoke(app, ["clear", *map(str, words)], env={"COLUMNS": "160", "TERM": "dumb"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.output


def killed_at_call(served: Served, number: int, *words: object) -> None:
    """The command in a process of its own that is killed while its call of that number is under way."""
    served.kill_at = len(served.calls) + number
    pid = os.fork()
    if pid == 0:
        _end_with(words)
    served.victim = pid
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and served.kill_at is None


def killed_at_file(number: int, *words: object) -> None:
    """The same, killed as its file of that number is about to take its place."""
    pid = os.fork()
    if pid == 0:
        left, real = iter(range(number - 1, -1, -1)), os.replace

        def replace(source: Any, target: Any) -> None:
            if not next(left):
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)

        os.replace = replace
        _end_with(words)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _end_with(words: Sequence[object]) -> None:
    try:
        app(["clear", *map(str, words)])
    finally:
        os._exit(1)
