"""What an environment is. An adapter is one class; it knows no agent, no model and no context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cleartrace.episodes.types import Outcome, Record, Task
from cleartrace.llm.protocol import ToolCall, ToolSpec


class Action(Record):
    """One turn of an agent: calls, or a message when there are none."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


class CallResult(Record):
    """What one call gave. `is_error`: the agent did something wrong; it is told so and goes on."""

    call_id: str
    text: str
    is_error: bool = False


class Observation(Record):
    """What the agent sees next.

    Args:
        system: rules of the environment, for the system prompt; only at the start.
        text: a message to the agent: the first observation, or a user's answer.
        results: one for each call of the action, in its order.
        tools: what can be called from now on.
        done: nothing more can be done.
    """

    system: str = ""
    text: str = ""
    results: tuple[CallResult, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    done: bool = False


class EnvironmentFault(Exception):
    """The environment itself failed: nobody's fault that learns. Becomes a failure of kind `sandbox`."""


class Session(Protocol):
    """One task being worked on. Calls come one at a time; `close` may come at any moment and more than once."""

    def start(self) -> Observation: ...

    def act(self, action: Action) -> Observation: ...

    def outcome(self) -> Outcome:
        """Of the state as it is now. Given to evaluators, never to agents."""
        ...

    def close(self) -> None: ...


class Environment(Protocol):
    """A set of tasks. Raises `EnvironmentFault`, and ValueError for an unknown task."""

    @property
    def name(self) -> str: ...

    @property
    def domain(self) -> str:
        """A paragraph for reflector and mutator: what agents do here."""
        ...

    @property
    def sections(self) -> Mapping[str, str]:
        """Sections of a playbook with what belongs into each. Empty: any section."""
        ...

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        """In a fixed order; all splits for None."""
        ...

    def session(self, task_id: str, seed: int) -> Session: ...

    def gold(self, task_id: str, seed: int) -> Sequence[Action] | None:
        """Actions that solve the task, for `validate` alone. None where the package knows none."""
        ...
