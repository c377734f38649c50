"""A small real environment for tests: open drawers until the one with the key is found, then say which."""

import time
from collections.abc import Sequence

from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.episodes.types import Context, Outcome, Task
from cleartrace.llm.protocol import Message, ToolCall, ToolSpec

OPEN = ToolSpec(name="open", description="Open a drawer.", parameters={"type": "object", "properties": {"n": {}}})
DONE = ToolSpec(name="done", description="Say where the key is.")


class Drawers:
    """The key is in drawer 3.

    Args:
        fail: `(place, how)`: where it goes wrong, one of `session`, `start`, `act`, `outcome`, `close`; `fault`,
            `error`, or a number of seconds to sleep there.
        only: the one task on which it goes wrong; "" for all.
    """

    name = "drawers"
    domain = "Finding keys."
    sections: dict[str, str] = {}

    def __init__(self, fail: Sequence[str | float] | None = None, only: str = "") -> None:
        self.fail, self.only = fail, only
        self.opened = 0
        self.built = 0

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        return [Task(environment="drawers", id=f"d{n}", input=f"Find key {n}.") for n in range(4)]

    def gold(self, task_id: str, seed: int) -> Sequence[Action]:
        return [Action(calls=(call("done", {"n": 3}),))]

    def session(self, task_id: str, seed: int) -> "Search":
        self.trip("session", task_id)
        self.built += 1
        self.opened += 1
        return Search(self, task_id)

    def trip(self, place: str, task_id: str) -> None:
        if self.fail is None or self.fail[0] != place or self.only not in ("", task_id):
            return
        how = self.fail[1]
        if how == "fault":
            raise EnvironmentFault(f"{place} broke")
        if how == "error":
            raise ZeroDivisionError(f"{place} broke")
        time.sleep(float(how))


class Search:
    def __init__(self, world: Drawers, task_id: str) -> None:
        self.world, self.task_id = world, task_id
        self.said: object = None
        self.seen: list[object] = []
        self.closed = False

    def start(self) -> Observation:
        self.world.trip("start", self.task_id)
        return Observation(system="RULES: be brief.", text="There are 5 drawers.", tools=(OPEN, DONE))

    def act(self, action: Action) -> Observation:
        self.world.trip("act", self.task_id)
        results = []
        for one in action.calls:
            n = (one.arguments or {}).get("n")
            self.seen.append((one.name, n))
            if one.name == "done":
                self.said = n
            results.append(CallResult(call_id=one.id, text=f"drawer {n}: {'key' if n == 3 else 'dust'}"))
        text = "" if action.calls else "Talking opens no drawer."
        return Observation(results=tuple(results), text=text, done=self.said is not None)

    def outcome(self) -> Outcome:
        self.world.trip("outcome", self.task_id)
        return Outcome(score=float(self.said == 3), feedback="the key was in 3")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.world.opened -= 1
        self.world.trip("close", self.task_id)


def call(name: str, arguments: dict | None, id: str = "c1", raw: str = "") -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments, raw=raw)


def calls(*each: ToolCall, text: str = "", thought: str = "") -> Message:
    return Message(role="assistant", content=text, thought=thought, calls=each)


class Fixed:
    """A provider that says the same to everybody."""

    def __init__(self, text: str = "", **fields) -> None:
        self.context = Context(text=text, provider_hash=f"fixed:{text}", **fields)
        self.hash = self.context.provider_hash

    async def context_for(self, task: Task, seed: int) -> Context:
        return self.context
