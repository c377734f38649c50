"""The reflector that gives a model a shell over the runs, in place of their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cleartrace.agents.attempt import attempt
from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.settings import CallStyle
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers.simple import Empty
from cleartrace.environments.protocol import Action, Observation
from cleartrace.episodes.types import Context, Failure, FailureKind, Outcome, Task
from cleartrace.learn.facts import Facts
from cleartrace.learn.lenient import Lenient
from cleartrace.learn.prompts import Prompt
from cleartrace.learn.protocol import Reflection, Signal
from cleartrace.learn.reflect.each import reflect_on
from cleartrace.learn.reflect.prompt import PLAIN, Features, reflection_prompt
from cleartrace.learn.reflect.reply import nothing, read, reply_model
from cleartrace.learn.reflect.runs import BUDGET, Budget
from cleartrace.learn.reflect.tasks import runs_of
from cleartrace.learn.shell import Limits
from cleartrace.learn.shell.agent import AsReflector, reading_agent
from cleartrace.learn.shell.runs import SHELL, RunShell
from cleartrace.llm.protocol import LLM, LLMError, Malformed, Refused, Rejected, Thinking
from cleartrace.llm.structured import Problem, Structured, correction, parse_structured

_REPLIES_BESIDE = 5
"""How many replies a model has beside those that use up its calls of the shell: to answer, and to repair that."""
_OWN_LIMITS = (FailureKind.STEP_LIMIT, FailureKind.TIME_LIMIT, FailureKind.TOKEN_LIMIT, FailureKind.FORMAT)


class ShellReflector:
    """As `LLMReflector`, for runs of any length: the prompt names the folder of each run, and the model reads in a loop
    until it answers. The files hold no scores; how a run was judged stands in the prompt, as it does there.

    Every call of the shell is in `Reflection.shell`. A model that reaches a limit without an answer gives a reflection
    without findings; what an endpoint does wrong is raised.

    Args:
        budget: how much of tasks and judgements the prompt shows.
        limits: of the shell, for one reading.
        scratch: folder that the runs are laid out in; the system's temporary one for None.
        style: how the model calls the shell.
        max_tokens: of one reply.
        time_limit_s: wall seconds of one reading.
    """

    def __init__(
        self,
        llm: LLM,
        facts: Facts,
        features: Features = PLAIN,
        *,
        budget: Budget = BUDGET,
        limits: Limits | None = None,
        scratch: Path | None = None,
        style: CallStyle = CallStyle.NATIVE,
        thinking: Thinking = Thinking.DEFAULT,
        max_tokens: int | None = 8_192,
        time_limit_s: float | None = None,
    ) -> None:
        self._llm, self._facts, self._features = llm, facts, features
        self._budget, self._limits, self._scratch = budget, limits or Limits(), scratch
        self._style, self._thinking = style, thinking
        self._max_tokens, self._time_limit_s = max_tokens, time_limit_s

    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        """See `Reflector` and `reflect_on`."""
        return await reflect_on(
            signals, lambda some, seed: self._call(some, playbook, seed), self._features.batched, seed
        )

    async def _call(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        model = reply_model(self._features.auxiliary, batched=len(signals) > 1)
        with RunShell(runs_of(signals), self._limits, self._scratch) as shell:
            prompt = reflection_prompt(self._facts, self._features, self._budget, signals, playbook, shell)
            reading = _Reading(shell, prompt, model)
            failure = await self._read(reading, seed)
        if reading.answer is None:
            why = "the model wrote none" if failure is None else failure.message
            found = (nothing(signals, f"there are no findings: {why}", prompt.hash),)
        else:
            found = read(reading.answer, reading.text, signals, playbook, prompt.hash)
        return found[0].model_copy(update={"shell": shell.log}), *found[1:]

    async def _read(self, reading: _Reading, seed: int) -> Failure | None:
        """None, or the limit that the model reached. Raises `LLMError`."""
        llm = AsReflector(self._llm)
        agent = reading_agent(
            llm,
            reading,
            self._limits,
            max_turns=self._limits.calls + _REPLIES_BESIDE,
            max_output_tokens=self._max_tokens,
            thinking=self._thinking,
            style=self._style,
        )
        episode = await attempt(agent, RunRequest(reading.task, seed, Empty()), Context(), self._time_limit_s)
        failure = episode.outcome.failure
        if failure is None or failure.kind in _OWN_LIMITS:
            return failure
        if isinstance(llm.error, Rejected) and reading.answer is not None:
            return failure  # a correction that the endpoint does not take leaves the answer as it is
        if isinstance(llm.error, Malformed):
            reading.answer = Structured(None, Problem.EMPTY, str(llm.error))
            return failure
        raise llm.error or (Refused if failure.kind is FailureKind.REFUSAL else LLMError)(failure.message)


class _Reading:
    """One reading: an environment with one task, and the session on it.

    Attributes:
        answer, text: the last reply without a call, as read and as written.
    """

    name = "reflection"
    domain = ""
    sections: Mapping[str, str] = {}
    task = Task(environment=name, id=name, input="")

    def __init__(self, shell: RunShell, prompt: Prompt, model: type[Lenient]) -> None:
        self._shell, self._prompt, self._model = shell, prompt, model
        self.answer: Structured[Lenient] | None = None
        self.text = ""

    def tasks(self, split: str | None = None) -> list[Task]:
        return [self.task]

    def session(self, task_id: str, seed: int) -> _Reading:
        return self

    def gold(self, task_id: str, seed: int) -> None:
        return None

    def start(self) -> Observation:
        return Observation(system=self._prompt.system, text=self._prompt.user, tools=(SHELL,))

    def act(self, action: Action) -> Observation:
        """Reads, or takes the answer. An answer that cannot be read may be corrected once, or put off by reading on."""
        if action.calls:
            self.answer = None
            return Observation(results=tuple(self._shell.answer(call) for call in action.calls), tools=(SHELL,))
        corrected = self.answer is not None
        self.text, self.answer = action.text, parse_structured(action.text, self._model)
        if self.answer.ok or corrected:
            return Observation(done=True)
        return Observation(text=f"{correction(self.answer)} Or call `shell` to read on first.", tools=(SHELL,))

    def outcome(self) -> Outcome:
        return Outcome(score=1.0)

    def close(self) -> None:
        """The shell is closed by whoever opened it."""
