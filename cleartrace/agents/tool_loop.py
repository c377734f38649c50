"""One tool loop for every model: it asks, runs all calls in order, shows what came back, until the task is over.

What goes wrong becomes a typed failure: of the model (scores 0), or of an endpoint or an environment (no score).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TypeVar

from cleartrace.agents.calls import calls_in_text, fault_of, tools_as_text
from cleartrace.agents.deadline import DEADLINE, DeadlinePassed, until
from cleartrace.agents.draft import Draft, clean, failed
from cleartrace.agents.settings import CallStyle, Limits
from cleartrace.environments.inprocess import EnvironmentHost, OpenSession
from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.episodes.render import clip
from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Outcome, Task
from cleartrace.llm.protocol import (
    LLM,
    BudgetExhausted,
    Finish,
    LLMError,
    Message,
    Refused,
    Reply,
    Request,
    Role,
    Thinking,
    ToolCall,
    ToolSpec,
)

T = TypeVar("T")
VERSION = 1
"""Raised when the loop or its wording changes what agents do: it is part of an agent's hash."""

_EMPTY = "Your reply was empty. Call a tool, or answer in text."
_CUT = "Your reply was cut off at its limit of tokens before it held a whole call. Write a shorter one."
_NOTHING = "(There is no answer to your message. Go on with the task.)"


class ToolLoopAgent:
    """A model that acts in an environment through tools.

    Args:
        host: where sessions are opened: a `Host`, or `InProcess(environment)`.
        instructions: stand after the environment's rules and before the context.
    """

    def __init__(
        self,
        llm: LLM,
        host: EnvironmentHost,
        *,
        limits: Limits | None = None,
        temperature: float | None = None,
        thinking: Thinking = Thinking.DEFAULT,
        style: CallStyle = CallStyle.NATIVE,
        instructions: str = "",
    ) -> None:
        self.llm, self.host = llm, host
        self.limits = limits or Limits()
        self.temperature, self.thinking = temperature, thinking
        self.style, self.instructions = style, instructions

    @property
    def hash(self) -> str:
        """16 hexadecimal characters over model, decoding, limits, prompts and environment."""
        facts = (
            f"tool_loop/{VERSION}",
            self.llm.model,
            self.host.identity,
            sorted(asdict(self.limits).items()),
            self.temperature,
            self.thinking.value,
            self.style.value,
            self.instructions,
        )
        return hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        """Whatever happens, an episode. Its session is closed when this returns or is cancelled."""
        draft = Draft(task, self.hash, context, seed)
        try:
            outcome, stop = await until(DEADLINE.get(), self._in_session(draft))
            return draft.episode(outcome, stop)
        except DeadlinePassed:
            failure = Failure(kind=FailureKind.TIME_LIMIT, message="the run reached its limit of wall time")
        except BudgetExhausted as error:
            failure = Failure(kind=FailureKind.BUDGET, message=error.limit)
        except LLMError as error:
            failure = Failure(kind=FailureKind.ENGINE, message=_said(error))
        except EnvironmentFault as error:
            failure = Failure(kind=FailureKind.SANDBOX, message=clean(str(error)))
        except Exception as error:
            failure = Failure(kind=FailureKind.AGENT_ERROR, message=_said(error))
        return draft.episode(failed(failure), failure)

    async def _in_session(self, draft: Draft) -> tuple[Outcome, Failure | None]:
        async with AsyncExitStack() as stack:
            opening = stack.enter_async_context(self.host.session(draft.task.id, draft.seed))
            session = await _environment(opening)
            failure = await _Loop(self, draft, session).run()
            found = await _environment(session.outcome())
        return (found, None) if failure is None else (failed(failure, found), failure)


@dataclass
class _Loop:
    """One run in one open session."""

    agent: ToolLoopAgent
    draft: Draft
    session: OpenSession
    tools: tuple[ToolSpec, ...] = ()
    malformed: int = 0

    async def run(self) -> Failure | None:
        """None when the environment says that the task is over."""
        seen = await _environment(self.session.start())
        self._open(seen)
        limits = self.agent.limits
        while not seen.done:
            if self.draft.turns >= limits.max_turns:
                return Failure(kind=FailureKind.STEP_LIMIT, message=f"not done after {limits.max_turns} turns")
            used = self.draft.usage.output_tokens
            if limits.max_run_tokens and used >= limits.max_run_tokens:
                message = f"{used} output tokens are used, {limits.max_run_tokens} are allowed"
                return Failure(kind=FailureKind.TOKEN_LIMIT, message=message)
            try:
                reply = await self._ask()
            except Refused as error:
                return Failure(kind=FailureKind.REFUSAL, message=clean(str(error)))
            self.draft.reply(reply)
            if reply.finish is Finish.FILTERED:
                return Failure(kind=FailureKind.REFUSAL, message="a content filter stopped the reply")
            seen = await self._turn(reply)
            if self.malformed >= limits.malformed_turns:
                return self._malformed(reply)
        return None

    def _open(self, seen: Observation) -> None:
        agent, task = self.agent, self.draft.task
        self.tools = seen.tools
        spoken = tools_as_text(self.tools) if agent.style is CallStyle.TEXT and self.tools else ""
        rules = "\n\n".join(clean(part) for part in (seen.system, agent.instructions, spoken) if part)
        self.draft.system(rules, "\n\n".join(part for part in (rules, clean(self.draft.context.text)) if part))
        given = [text for text in (task.input, seen.text) if text]
        self.draft.user(seen.text if task.input in seen.text else "\n\n".join(given))

    async def _ask(self) -> Reply:
        agent = self.agent
        request = Request(
            role=Role.AGENT,
            messages=tuple(self.draft.messages),
            tools=self.tools if agent.style is CallStyle.NATIVE else (),
            temperature=agent.temperature,
            max_tokens=agent.limits.max_output_tokens,
            seed=self.draft.seed,
            thinking=agent.thinking,
        )
        try:
            return await agent.llm.complete(request)
        except LLMError:
            raise
        except Exception as error:
            raise LLMError(_said(error)) from error

    async def _turn(self, reply: Reply) -> Observation:
        """Act on a reply and show the model what came of it."""
        tools = {tool.name: tool for tool in self.tools}
        calls = reply.message.calls
        if self.agent.style is CallStyle.TEXT:
            calls = calls_in_text(reply.text, tools, self.draft.turns)
        faults = {number: fault for number, call in enumerate(calls) if (fault := fault_of(call, tools))}
        usable = tuple(call for number, call in enumerate(calls) if number not in faults)
        cut = reply.finish is Finish.LENGTH and not calls
        if cut or not (calls or reply.text.strip()):
            self.malformed += 1
            self.draft.user(_CUT if cut else _EMPTY)
            return Observation(tools=self.tools)
        self.malformed = self.malformed + 1 if calls and not usable else 0
        seen = Observation()
        if usable or not calls:
            seen = await _environment(self.session.act(Action(text=reply.text, calls=usable)))
        self._show(calls, faults, usable, seen)
        if seen.tools and seen.tools != self.tools:
            self.tools = seen.tools
            if self.agent.style is CallStyle.TEXT:
                self.draft.user("The tools have changed.\n\n" + tools_as_text(self.tools))
        return seen

    def _show(
        self, calls: tuple[ToolCall, ...], faults: dict[int, str], usable: tuple[ToolCall, ...], seen: Observation
    ) -> None:
        """Results in the order of the calls, then what the environment says."""
        if len(seen.results) < len(usable) and not seen.done:
            raise EnvironmentFault(f"{len(usable)} calls were made and {len(seen.results)} results came back")
        native = self.agent.style is CallStyle.NATIVE
        results, shown = iter(seen.results), []
        for number, call in enumerate(calls):
            self.draft.call(call, not native)
            fault = faults.get(number, "")
            result = CallResult(call_id=call.id, text=fault, is_error=True) if fault else next(results, None)
            if result is not None:
                text = clip(clean(result.text), self.agent.limits.tool_output_chars)
                self.draft.result(call, text, result.is_error)
                shown.append((call, text, result.is_error))
        if native:
            self.draft.messages += [
                Message(role="tool", content=text, call_id=call.id, is_error=bad) for call, text, bad in shown
            ]
        elif shown:
            self.draft.messages.append(Message(role="user", content=_as_text(shown)))
        if seen.text or not (shown or seen.done):
            self.draft.user(seen.text or _NOTHING)

    def _malformed(self, reply: Reply) -> Failure:
        cut = reply.finish is Finish.LENGTH
        message = f"{self.malformed} turns after each other held neither a usable call nor a message"
        return Failure(kind=FailureKind.TOKEN_LIMIT if cut else FailureKind.FORMAT, message=message)


def _as_text(shown: list[tuple[ToolCall, str, bool]]) -> str:
    return "\n\n".join(
        f"{'Error' if bad else 'Answer'} to call {number}, {call.name or 'unreadable'}:\n{text}"
        for number, (call, text, bad) in enumerate(shown, 1)
    )


async def _environment(asked: Awaitable[T]) -> T:
    """What an environment answers. Whatever else it raises than what it may is its fault."""
    try:
        return await asked
    except (EnvironmentFault, LLMError):
        raise
    except Exception as error:
        raise EnvironmentFault(_said(error)) from error


def _said(error: Exception) -> str:
    return clean(f"{type(error).__name__}: {error}")
