"""The tool loop of an agent that reads runs with a shell."""

from __future__ import annotations

from cleartrace.agents.settings import CallStyle
from cleartrace.agents.settings import Limits as AgentLimits
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.environments.inprocess import InProcess
from cleartrace.environments.protocol import Environment
from cleartrace.learn.shell.shell import Limits
from cleartrace.llm.protocol import LLM, LLMError, Reply, Request, Role, Thinking

_CHARS_BESIDE = 2_000
"""What the shell adds to an answer: notes on what was cut."""


class AsReflector:
    """A model whose calls are counted under the role `reflector`. `error`: the last one it raised."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self.error: LLMError | None = None

    @property
    def model(self) -> str:
        return self._llm.model

    async def complete(self, request: Request) -> Reply:
        """Raises what the model raises."""
        try:
            return await self._llm.complete(request.model_copy(update={"role": Role.REFLECTOR}))
        except LLMError as error:
            self.error = error
            raise

    async def close(self) -> None:
        await self._llm.close()


def reading_agent(
    llm: AsReflector,
    environment: Environment,
    shell: Limits,
    *,
    max_turns: int,
    max_output_tokens: int | None,
    temperature: float | None = None,
    thinking: Thinking = Thinking.DEFAULT,
    style: CallStyle = CallStyle.NATIVE,
) -> ToolLoopAgent:
    """An agent that is shown whole answers of a shell with these limits."""
    limits = AgentLimits(
        max_turns=max_turns,
        max_output_tokens=max_output_tokens,
        tool_output_chars=shell.call_bytes + _CHARS_BESIDE,
    )
    return ToolLoopAgent(
        llm, InProcess(environment), limits=limits, temperature=temperature, thinking=thinking, style=style
    )
