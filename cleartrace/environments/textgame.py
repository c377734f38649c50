"""Text games in a Java simulator: a tool for commands, a tool that lists what is possible, a score.

One Java process serves every game of a Python process, one game at a time: starting a game ends the one before it.
The simulators take no seed, so that of a run changes nothing. ScienceWorld draws some things anew at each start.
"""

# pyright: reportMissingImports=false
# The packages live in virtual environments of their own, where this module runs.

from __future__ import annotations

import contextlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Generic, TypeVar

from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.environments.registry import MissingPackage
from cleartrace.episodes.types import Outcome
from cleartrace.llm.protocol import ToolCall, ToolSpec
from cleartrace.trajectory.record import written

ACT, OPTIONS = "act", "options"
LONGEST_COMMAND = 500
"""Characters. No command of these games is longer than 120; the limit keeps a runaway answer out of the simulator."""

OVER = "Not executed: the task has ended."
REMINDER = f"Nothing was done: only calls of `{ACT}` change the world. Call it, or answer once more without to stop."

JAVA_OPTIONS = "-Xmx1g -XX:+UseSerialGC"
"""Left alone, Java takes a quarter of the machine's memory for each process: measured were 6.3 GB."""

Simulator = TypeVar("Simulator")


@dataclass(frozen=True)
class Step:
    """The answer to one command. `misunderstood`: the game did not know what was meant."""

    text: str
    misunderstood: bool
    done: bool


@dataclass(frozen=True)
class Standing:
    """How a game stands. `score` may lie outside [0, 1]; `feedback` is for evaluators alone."""

    score: float
    feedback: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Machine(Generic[Simulator]):
    """The Java process. Started when it is first needed, replaced after a fault."""

    def __init__(self, name: str, launch: Callable[[], Simulator]) -> None:
        self._name = name
        self._launch = launch
        self._simulator: Simulator | None = None
        self._claims = 0

    def claim(self) -> int:
        """The number of a new game. Every older number is no longer good."""
        self._claims += 1
        return self._claims

    @contextlib.contextmanager
    def use(self, claim: int | None = None) -> Iterator[Simulator]:
        """Raises `EnvironmentFault` for an outdated claim, and for whatever goes wrong on the Java side."""
        if claim is not None and claim != self._claims:
            raise EnvironmentFault(f"{self._name}: another game was started in this process, which ended this one")
        try:
            if self._simulator is None:
                # When a Java process is gone, py4j's own thread logs a traceback for every object that was in it. What
                # matters is raised here; and in Python 3.11 printing tracebacks beside a compile() can break that.
                logging.getLogger("py4j").setLevel(logging.CRITICAL)
                with _java_options():
                    self._simulator = self._launch()
            yield self._simulator
        except (_java_error(), OSError) as error:
            self.close()
            reason = str(error).strip()[:300] or type(error).__name__
            raise EnvironmentFault(
                f"{self._name}: its Java simulator failed (it needs Java 8 or later): {reason}"
            ) from error

    def close(self) -> None:
        """Ends the Java process and every game in it."""
        simulator, self._simulator = self._simulator, None
        self._claims += 1
        if simulator is not None and hasattr(simulator, "close"):
            with contextlib.suppress(Exception):  # a dead process cannot be told to stop
                simulator.close()  # type: ignore[attr-defined]


@contextlib.contextmanager
def _java_options() -> Iterator[None]:
    """`JAVA_OPTIONS` for the processes started in the block, unless the user chose some."""
    if "JAVA_TOOL_OPTIONS" in os.environ:
        yield
        return
    os.environ["JAVA_TOOL_OPTIONS"] = JAVA_OPTIONS
    try:
        yield
    finally:
        del os.environ["JAVA_TOOL_OPTIONS"]


def _java_error() -> type[Exception]:
    from py4j.protocol import Py4JError

    return Py4JError


class TextGames(ABC, Generic[Simulator]):
    """The part of an environment that is the same for every simulator. A subclass says how its own is asked."""

    name: str
    rules: str

    def __init__(self) -> None:
        self.machine: Machine[Simulator] = Machine(self.name, self._launch)

    @abstractmethod
    def _launch(self) -> Simulator: ...

    @abstractmethod
    def _load(self, simulator: Simulator, task_id: str) -> str:
        """Starts a game and returns what the player reads first. Raises ValueError for an unknown task."""

    @abstractmethod
    def _step(self, simulator: Simulator, command: str) -> Step: ...

    @abstractmethod
    def _options(self, simulator: Simulator, containing: str) -> str: ...

    @abstractmethod
    def _standing(self, simulator: Simulator) -> Standing: ...

    @abstractmethod
    def _solution(self, simulator: Simulator, task_id: str) -> Sequence[str]: ...

    def session(self, task_id: str, seed: int) -> GameSession[Simulator]:
        return GameSession(self, task_id)

    def gold(self, task_id: str, seed: int) -> list[Action]:
        """The package's own solution. Ends the game that is being played."""
        self.machine.claim()
        with self.machine.use() as simulator:
            commands = self._solution(simulator, task_id)
        return [command(text, f"gold-{number}") for number, text in enumerate(commands)]

    def close(self) -> None:
        self.machine.close()


def command(text: str, call_id: str) -> Action:
    """An action that gives one command."""
    return Action(calls=(ToolCall(id=call_id, name=ACT, arguments={"command": text}),))


TOOLS = (
    ToolSpec(
        name=ACT,
        description="Gives one command to the game and returns what happens.",
        parameters={
            "type": "object",
            "properties": {"command": {"type": "string", "description": "the command, for example: look around"}},
            "required": ["command"],
            "additionalProperties": False,
        },
    ),
    ToolSpec(
        name=OPTIONS,
        description="Lists what can be done now. Takes no time in the game.",
        parameters={
            "type": "object",
            "properties": {"containing": {"type": "string", "description": "only commands that contain this text"}},
            "additionalProperties": False,
        },
    ),
)


class GameSession(Generic[Simulator]):
    """One game. Two messages in a row without a call end it: the agent has stopped playing."""

    def __init__(self, games: TextGames[Simulator], task_id: str) -> None:
        self._games = games
        self._task_id = task_id
        self._claim: int | None = None
        self._silent = 0
        self._done = False

    def start(self) -> Observation:
        self._claim = self._games.machine.claim()
        with self._games.machine.use(self._claim) as simulator:
            text = self._games._load(simulator, self._task_id)
        return Observation(system=self._games.rules, text=text, tools=TOOLS)

    def act(self, action: Action) -> Observation:
        if self._claim is None:
            raise EnvironmentFault(f"{self._games.name}: act before start")
        if not action.calls:
            self._silent += 1
            self._done = self._done or self._silent > 1
            return Observation(text="" if self._done else REMINDER, tools=TOOLS, done=self._done)
        self._silent = 0
        results = tuple(self._answer(call) for call in action.calls)
        return Observation(results=results, tools=TOOLS, done=self._done)

    def _answer(self, call: ToolCall) -> CallResult:
        if self._done:
            return CallResult(call_id=call.id, text=OVER, is_error=True)
        wrong, value = _argument(call)
        if wrong:
            return CallResult(call_id=call.id, text=wrong, is_error=True)
        with self._games.machine.use(self._claim) as simulator:
            if call.name == OPTIONS:
                return CallResult(call_id=call.id, text=self._games._options(simulator, value))
            step = self._games._step(simulator, value)
        self._done = step.done
        return CallResult(call_id=call.id, text=step.text, is_error=step.misunderstood)

    def outcome(self) -> Outcome:
        if self._claim is None:
            raise EnvironmentFault(f"{self._games.name}: outcome before start")
        with self._games.machine.use(self._claim) as simulator:
            standing = self._games._standing(simulator)
        score = min(1.0, max(0.0, standing.score))
        return Outcome(score=score, feedback=standing.feedback, details=dict(standing.details))

    def close(self) -> None:
        self._done = True


def _argument(call: ToolCall) -> tuple[str, str]:
    """What is wrong with a call, or the text it gives."""
    if call.name not in (ACT, OPTIONS):
        return f"There is no tool {call.name!r}. Tools: {ACT}, {OPTIONS}.", ""
    key = "command" if call.name == ACT else "containing"
    if call.arguments is None:
        return f"The arguments of {call.name} are not a JSON object.", ""
    value = call.arguments.get(key, "" if call.name == OPTIONS else None)
    if not isinstance(value, str):
        return f"{call.name} needs the argument {key!r}, a text.", ""
    if len(value) > LONGEST_COMMAND:
        return f"The argument {key!r} is {len(value)} characters long; {LONGEST_COMMAND} are allowed.", ""
    return "", " ".join((written(value) or "").split())


def package_version(package: str, environment: str) -> str:
    """Raises `MissingPackage`."""
    try:
        return version(package)
    except PackageNotFoundError:
        words = (
            f"the environment {environment} needs the package {package}: cleartrace environments install {environment}"
        )
        raise MissingPackage(words) from None


def listing(heading: str, lines: Sequence[str], limit: int = 200) -> str:
    """Lines under a heading, with the number of those left out."""
    shown = [heading, *lines[:limit]]
    if len(lines) > limit:
        shown.append(f"... and {len(lines) - limit} more")
    return "\n".join(shown)
