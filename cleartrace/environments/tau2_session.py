"""One case of tau2: the package's records, tools, customer and rewards, with our agent in the middle.

Follows the package's own loop: 200 steps and 10 errors of tools at most; an empty message ends a case as an error of
the agent, and so does talking where there is nobody to talk to. Text beside calls is dropped, since nobody hears it.
"""

# pyright: reportMissingImports=false
# The package lives in a virtual environment of its own, where this module runs.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cleartrace.environments.calls import refuse, unreadable, written
from cleartrace.environments.compare import differences
from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.episodes.types import Outcome, Task
from cleartrace.llm.protocol import Message, ToolCall, ToolSpec

if TYPE_CHECKING:
    from cleartrace.environments.tau2 import Tau2


class Tau2Session:
    """Calls act on records; a message goes to the customer. Without a customer, the tool `done` closes the ticket."""

    def __init__(self, environment: Tau2, shown: Task, task: Any) -> None:
        self._environment, self._shown, self._task = environment, shown, task
        self._solo = not environment.needs_user
        self._world = environment.world(solo_mode=self._solo)
        start = task.initial_state
        self._world.set_state(
            initialization_data=start.initialization_data if start else None,
            initialization_actions=start.initialization_actions if start else None,
            message_history=[],
        )
        self._messages: list[Any] = []
        self._heard: list[Any] = []
        self._steps = self._errors = 0
        self._ended: Any = None

    def start(self) -> Observation:
        text = self._shown.input if self._solo else self._greet()
        return Observation(system=self._rules(), text=text, tools=tuple(self._tools()), done=self._ended is not None)

    def _rules(self) -> str:
        from tau2.agent import llm_agent

        instruction = llm_agent.AGENT_INSTRUCTION
        if self._solo:
            agent = llm_agent.LLMSoloAgent
            instruction = llm_agent.AGENT_SOLO_INSTRUCTION.format(
                stop_function_name=agent.STOP_FUNCTION_NAME, stop_token=agent.STOP_TOKEN
            )
        return llm_agent.SYSTEM_PROMPT.format(agent_instruction=instruction, domain_policy=self._world.get_policy())

    def _tools(self) -> list[ToolSpec]:
        offered = list(self._world.get_tools())
        if self._solo:
            offered += self._world.get_user_tools()
        specs = [tool.openai_schema["function"] for tool in offered]
        if self._solo:
            specs.append({"name": "done", "description": "Close the ticket. Nothing can be done after this."})
        return [ToolSpec(**spec) for spec in specs]

    def act(self, action: Action) -> Observation:
        from tau2.data_model.simulation import TerminationReason

        if self._ended is not None:
            return Observation(results=tuple(refuse(call, "the case is closed") for call in action.calls), done=True)
        if action.calls:
            return self._carry_out(action.calls)
        if self._solo or not action.text.strip():
            self._ended = TerminationReason.AGENT_ERROR
            return Observation(done=True)
        return Observation(text=self._say(action.text), done=self._ended is not None)

    def _carry_out(self, calls: Sequence[ToolCall]) -> Observation:
        from tau2.data_model import message as package
        from tau2.data_model.simulation import TerminationReason

        if self._solo and any(call.name == "done" for call in calls):
            self._messages.append(package.AssistantMessage(role="assistant", content="###STOP###"))
            self._ended = TerminationReason.AGENT_STOP
            return Observation(results=tuple(CallResult(call_id=call.id, text="") for call in calls), done=True)
        readable = [call for call in calls if call.arguments is not None]
        made = [package.ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in readable]
        answers = [self._world.get_response(call) for call in made]
        if made:
            self._messages += [package.AssistantMessage(role="assistant", tool_calls=made), *answers]
        given = {call.id: answer for call, answer in zip(readable, answers, strict=True)}
        results = tuple(_result(call, given.get(call.id)) for call in calls)
        self._count(2, sum(result.is_error for result in results))
        return Observation(results=results, tools=tuple(self._tools()), done=self._ended is not None)

    def _greet(self) -> str:
        from tau2.orchestrator.orchestrator import DEFAULT_FIRST_AGENT_MESSAGE

        return self._say(DEFAULT_FIRST_AGENT_MESSAGE.content)

    def _say(self, text: str) -> str:
        """The customer's answer, from the package's simulator with a model of ours."""
        from tau2.data_model import message as package
        from tau2.data_model.simulation import TerminationReason
        from tau2.user.base import UserState
        from tau2.user.user_simulator import UserSimulator

        simulator = UserSimulator(instructions=str(self._task.user_scenario))
        self._heard.append(package.AssistantMessage(role="assistant", content=text))
        state = UserState(system_messages=[], messages=list(self._heard))
        asked = [Message(role="system", content=simulator.system_prompt)]
        asked += [Message(role=heard.role, content=heard.content) for heard in state.flip_roles()]
        if self._environment.complete is None:
            raise EnvironmentFault("tau2 has no model for its simulated user")
        answer = self._environment.complete(asked)
        if not answer.strip():
            raise EnvironmentFault("the simulated user of tau2 said nothing")
        said = package.UserMessage(role="user", content=answer)
        self._messages += [self._heard[-1], said]
        self._heard.append(said)
        if simulator.is_stop(said):
            self._ended = TerminationReason.USER_STOP
        self._count(2, 0)
        return answer

    def _count(self, steps: int, errors: int) -> None:
        from tau2.config import DEFAULT_MAX_ERRORS, DEFAULT_MAX_STEPS
        from tau2.data_model.simulation import TerminationReason

        self._steps += steps
        self._errors += errors
        if self._ended is None and self._steps >= DEFAULT_MAX_STEPS:
            self._ended = TerminationReason.MAX_STEPS
        if self._ended is None and self._errors >= DEFAULT_MAX_ERRORS:
            self._ended = TerminationReason.TOO_MANY_ERRORS

    def outcome(self) -> Outcome:
        from tau2.data_model.simulation import SimulationRun, TerminationReason
        from tau2.evaluator.evaluator import EvaluationType, evaluate_simulation

        ended = self._ended or TerminationReason.MAX_STEPS
        run = SimulationRun(
            id="run",
            task_id=self._task.id,
            start_time="",
            end_time="",
            duration=0.0,
            termination_reason=ended,
            messages=self._messages,
        )
        reward = evaluate_simulation(run, self._task, EvaluationType.ALL, self._solo, self._environment.evaluated)
        breakdown = {kind.value: value for kind, value in (reward.reward_breakdown or {}).items()}
        stopped = self._ended.value if self._ended else "unfinished"
        return Outcome(
            score=min(1.0, max(0.0, reward.reward)),
            feedback="The case was handled as it should be." if reward.reward >= 1 else self._feedback(reward, stopped),
            details={"ended": stopped, "reward_breakdown": breakdown},
        )

    def _feedback(self, reward: Any, stopped: str) -> str:
        lines = ["The case was not handled as it should be."]
        if reward.reward_basis is None:
            lines.append(f"It ended early, so nothing counts: {stopped}.")
        for check in reward.env_assertions or []:
            if not check.met:
                wanted = check.env_assertion
                lines.append(
                    f"Not met at the end: {written(wanted.func_name, wanted.arguments)} is {wanted.assert_value}"
                )
        lines += [
            f"Never told the customer: {check.info}" for check in reward.communicate_checks or [] if not check.met
        ]
        expected = self._task.evaluation_criteria.actions or []
        made = [call for message in self._messages for call in getattr(message, "tool_calls", None) or []]
        steps = [
            f"{written(action.name, action.arguments)}{'' if _among(action, made) else '   (never called)'}"
            for action in expected
        ]
        lines.append("The right actions:\n" + ("\n".join(steps) or "none: nothing may be changed"))
        if apart := self._apart(expected):
            lines.append("Where the final records differ from the right ones:\n" + "\n".join(apart))
        return "\n".join(lines)

    def _apart(self, expected: Sequence[Any]) -> list[str]:
        wanted = Tau2Session(self._environment, self._shown, self._task)._world
        for action in expected:
            try:
                wanted.make_tool_call(tool_name=action.name, requestor="assistant", **action.arguments)
                wanted.sync_tools()
            except Exception:  # the package's evaluator passes over reference actions that fail, too
                continue
        return differences(wanted.tools.db.model_dump(mode="json"), self._world.tools.db.model_dump(mode="json"))

    def close(self) -> None:
        self._messages.clear()


def _among(action: Any, made: Sequence[Any]) -> bool:
    return any(action.compare_with_tool_call(call) for call in made)


def _result(call: ToolCall, answer: Any) -> CallResult:
    if answer is None:
        return unreadable(call)
    return CallResult(call_id=call.id, text=answer.content or "", is_error=answer.error)
