"""Task, trajectory and outcome of one run. What the agent saw and how it was judged are two types, and never mix."""

from __future__ import annotations

import hashlib
import json
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cleartrace.tools.result import Blame

PASS = 1.0 - 1e-9
"""A score from here on is a full pass: the one threshold of the project."""


class Record(BaseModel):
    """A frozen artefact. Fields of later versions survive a round trip."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def canonical(self) -> str:
        """JSON with sorted keys: equal records, equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """16 hexadecimal characters of the SHA-256 of `canonical()`."""
        return hashlib.sha256(self.canonical().encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Task(Record):
    """What an agent is asked. Holds nothing that is known only afterwards: no answer, no test, no score.

    Args:
        id: unique in its environment.
        group: the scenario it belongs to. Splits never cut a group, and scenario completion is counted over it.
        metadata: further facts that the agent and a context provider may see.
    """

    environment: str
    id: str
    input: str
    split: str = "train"
    group: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class Usage(Record):
    """Of one or many model calls. `cost` in dollars, None where that of any tokens is not known; `seconds` of calls."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        costs = [one.cost for one in (self, other) if one.cost is not None or one.input_tokens + one.output_tokens]
        known = [cost for cost in costs if cost is not None]
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=sum(known) if known and len(known) == len(costs) else None,
            seconds=self.seconds + other.seconds,
        )


class PartKind(str, Enum):
    """What a piece of context is."""

    ENTRY = "entry"
    ROW = "row"
    SAMPLE = "sample"
    TEXT = "text"


class PartRef(Record):
    """A piece that a context was built from: an entry at a revision, a retrieved row, a sample of a model."""

    kind: PartKind
    id: str
    revision: int = 0


class Context(Record):
    """What stands beside a task in one run.

    Args:
        parts: what `text` was built from, in order.
        provider_hash: changes whenever the provider's answers could change.
        probe: names the perturbation when the run serves credit alone; such a run counts in no metric (R4).
        abstained: the provider chose to say nothing.
        usage: of making the text.
    """

    text: str = ""
    parts: tuple[PartRef, ...] = ()
    provider_hash: str = ""
    probe: str = ""
    abstained: bool = False
    usage: Usage = Usage()


class StepKind(str, Enum):
    """Who wrote a step, and what it is."""

    INPUT = "input"
    """Text the agent was given: system prompt, task, context, a message of a user."""
    THOUGHT = "thought"
    MESSAGE = "message"
    CALL = "call"
    RESULT = "result"


class Step(Record):
    """One thing the agent read or did.

    `arguments`, `call_id` belong to calls and results; `name` is the tool's there, and of an input its sender: `system`
    or `user`. The context is in `Trajectory.context` alone: an agent reads it after the rules of the system.
    """

    kind: StepKind
    text: str = ""
    name: str = ""
    arguments: dict[str, Any] | None = None
    call_id: str = ""
    is_error: bool = False


class StopReason(str, Enum):
    """Why a run ended."""

    FINISHED = "finished"
    STEP_LIMIT = "step_limit"
    TIME_LIMIT = "time_limit"
    TOKEN_LIMIT = "token_limit"
    ERROR = "error"


class RunKind(str, Enum):
    """Probe runs serve credit and are excluded from every metric by this type (R4)."""

    CLEAN = "clean"
    PROBE = "probe"


class Trajectory(Record):
    """What an agent saw and did. Holds no score, no answer and no evaluator's note (design rule 1).

    Args:
        agent: hash of the agent's model and settings.
        seed: of the run; the same seed, agent, task and context are the same run.
        citations: entries the agent said it used, resolved to what it was shown.
        unknown_citations: ids it cited and was not shown.
        usage, seconds: of the agent's own calls; wall time of the whole run.
    """

    schema_version: int = 1
    environment: str
    task_id: str
    agent: str
    seed: int = 0
    context: Context = Context()
    steps: tuple[Step, ...] = ()
    output: str = ""
    citations: tuple[PartRef, ...] = ()
    unknown_citations: tuple[str, ...] = ()
    stop: StopReason = StopReason.FINISHED
    turns: int = 0
    usage: Usage = Usage()
    seconds: float = 0.0

    @property
    def kind(self) -> RunKind:
        return RunKind.PROBE if self.context.probe else RunKind.CLEAN


class FailureKind(str, Enum):
    """What went wrong in a run. `blame` says whether it counts."""

    FORMAT = "format"
    TIME_LIMIT = "time_limit"
    STEP_LIMIT = "step_limit"
    TOKEN_LIMIT = "token_limit"
    REFUSAL = "refusal"
    AGENT_ERROR = "agent_error"
    TOOL = "tool"
    SANDBOX = "sandbox"
    ENGINE = "engine"
    JUDGE = "judge"
    BUDGET = "budget"

    @property
    def blame(self) -> Blame:
        return _BLAME.get(self, Blame.MODEL)


_BLAME = {
    FailureKind.TOOL: Blame.TOOL,
    FailureKind.SANDBOX: Blame.SANDBOX,
    FailureKind.ENGINE: Blame.ENGINE,
    FailureKind.JUDGE: Blame.ENGINE,
    FailureKind.BUDGET: Blame.ENGINE,
}


class Failure(Record):
    """A run that did not end well. `message`: what happened, in a sentence."""

    kind: FailureKind
    message: str = ""


class Outcome(Record):
    """How a run went; stored beside its trajectory and shown to no agent.

    Args:
        score: 0 to 1. None exactly when somebody other than the model is to blame: such a run is retried, counted and
            shown, and never scored, replayed or reflected on (design rule 3).
        feedback: what an evaluator says, for a reflector to read.
        details: the evaluator's own figures.
    """

    schema_version: int = 1
    score: float | None
    feedback: str = ""
    details: dict[str, Any] = Field(default_factory=dict)
    failure: Failure | None = None

    @model_validator(mode="after")
    def _blame_decides(self) -> Outcome:
        others = self.failure is not None and self.failure.kind.blame is not Blame.MODEL
        if others != (self.score is None):
            raise ValueError(f"score {self.score} does not go with failure {self.failure}: blame decides what counts")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score lies in [0, 1], got {self.score}")
        return self

    @property
    def scored(self) -> bool:
        return self.score is not None

    @property
    def passed(self) -> bool:
        return self.score is not None and self.score >= PASS


class Episode(Record):
    """A trajectory with its outcome. `id`: the digest of both together with nothing else."""

    trajectory: Trajectory
    outcome: Outcome

    @property
    def id(self) -> str:
        return self.digest

    @property
    def task_id(self) -> str:
        return self.trajectory.task_id

    @property
    def is_probe(self) -> bool:
        return self.trajectory.kind is RunKind.PROBE
