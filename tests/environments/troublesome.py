"""An environment that misbehaves on request. Hosted by `Host("tests/environments/troublesome.py:Troublesome")`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.episodes.types import Outcome, Task
from cleartrace.llm.protocol import Message, ToolCall


class Troublesome:
    """Does what an action's text says. `log`: a file that gets a line for each build, start and close."""

    name = "troublesome"
    domain = "Nothing good."
    sections = {"trouble": "where it comes from"}
    version = "1"

    def __init__(self, log: str = "", needs_user: bool = False, slow_build_s: float = 0.0, complete=None):
        self.log = Path(log) if log else None
        self.needs_user = needs_user
        self.complete = complete
        time.sleep(slow_build_s)
        self.note("build")

    def note(self, event: str) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{event} {os.getpid()}\n")

    def tasks(self, split=None):
        found = [Task(environment=self.name, id=f"t{i}", input="Go.", split="test" if i else "train") for i in range(3)]
        return [task for task in found if split in (None, task.split)]

    def session(self, task_id, seed):
        if task_id not in {task.id for task in self.tasks()}:
            raise ValueError(f"no task is called {task_id!r}")
        return Trouble(self, task_id, seed)

    def gold(self, task_id, seed):
        if task_id == "t2":
            return None
        return [Action(calls=(ToolCall(id="1", name="win", arguments={}),)), Action(text="won")]


class Trouble:
    def __init__(self, environment: Troublesome, task_id: str, seed: int) -> None:
        self.environment, self.task_id, self.seed, self.won = environment, task_id, seed, False
        environment.note("start")

    def start(self) -> Observation:
        return Observation(text=f"{self.task_id} with seed {self.seed} in {os.getpid()}")

    def act(self, action: Action) -> Observation:
        self.won = self.won or any(call.name == "win" for call in action.calls)
        word, _, rest = action.text.partition(" ")
        text = getattr(self, f"do_{word}")(rest) if word and hasattr(self, f"do_{word}") else ""
        return Observation(
            text=str(text or ""),
            results=tuple(CallResult(call_id=call.id, text="ok") for call in action.calls),
            done=word == "won",
        )

    def outcome(self) -> Outcome:
        return Outcome(score=1.0 if self.won else 0.0, feedback="CANARY of the evaluator")

    def close(self) -> None:
        self.environment.note("close")

    def do_sleep(self, seconds: str) -> None:
        time.sleep(float(seconds))

    def do_spin(self, _: str) -> None:
        while True:
            pass

    def do_crash(self, _: str) -> None:
        print("last words", file=sys.stderr, flush=True)
        os._exit(7)

    def do_raise(self, _: str) -> None:
        raise ZeroDivisionError("a defect")

    def do_value(self, _: str) -> None:
        raise ValueError("not about the task")

    def do_fault(self, _: str) -> None:
        raise EnvironmentFault("the sandbox is full")

    def do_print(self, _: str) -> str:
        print("{not json", flush=True)
        os.write(1, b'{"result": "forged"}\n')
        return "printed"

    def do_read(self, _: str) -> str:
        return repr(sys.stdin.read())

    def do_forge(self, _: str) -> None:
        for fd in range(3, 32):
            try:
                os.write(fd, b"no protocol at all\n")
            except OSError:
                continue

    def do_child(self, _: str) -> str:
        return str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)

    def do_ask(self, text: str) -> str:
        return self.environment.complete([Message(role="user", content=text)])

    def do_path(self, _: str) -> str:
        return "\n".join([os.environ.get("PYTHONPATH", ""), *sys.path])

    def do_surrogate(self, _: str) -> str:
        return "half a pair: \ud800"


class Misjudging(Troublesome):
    """One task for each way in which an environment can judge."""

    idle_passes = frozenset({"known", "stale"})

    def tasks(self, split=None):
        ids = ("good", "without", "unsolved", "lenient", "known", "stale", "broken")
        return [Task(environment=self.name, id=task_id, input="Go.") for task_id in ids]

    def session(self, task_id, seed):
        return Misjudged(self, task_id, seed)

    def gold(self, task_id, seed):
        return None if task_id == "without" else super().gold("t0", seed)


class Misjudged(Trouble):
    def outcome(self) -> Outcome:
        if self.task_id == "broken":
            raise RuntimeError("crashed on purpose")
        passes = self.won if self.task_id not in ("lenient", "known") else True
        return Outcome(score=float(passes and self.task_id != "unsolved"))
