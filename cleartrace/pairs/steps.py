"""A trajectory as numbered steps of thought, command and observation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cleartrace.pairs.record import Message

_BLOCK = re.compile(
    r"^(?P<fence>`{3,})[ \t]*[\w+-]*[ \t]*\n(?P<body>.*?)\n?^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE
)
_RUN = re.compile(r"`{3,}")


@dataclass(frozen=True)
class Step:
    """What an agent said and what came back. `command` is empty where the turn has not exactly one fenced block."""

    thought: str
    command: str
    observation: str


def fenced(text: str) -> str:
    """`text` in a fence that nothing in it can close.

    Example:
        >>> print(fenced("```\\nls\\n```"))
        ````
        ```
        ls
        ```
        ````
    """
    fence = "`" * max([3, *(len(run) + 1 for run in _RUN.findall(text))])
    return f"{fence}\n{text}\n{fence}"


def opening(messages: Sequence[Message]) -> tuple[Message, ...]:
    """What stands before the agent's first turn: the system prompt and the issue."""
    first = next((i for i, message in enumerate(messages) if message.role == "assistant"), len(messages))
    return tuple(messages[:first])


def steps_of(messages: Sequence[Message]) -> list[Step]:
    """One step for each turn of the agent. System messages are left out wherever they stand."""
    steps: list[Step] = []
    for said, observations in _turns(messages[len(opening(messages)) :]):
        thought, command = split_command(said)
        steps.append(Step(thought, command, "\n".join(observations)))
    return steps


def _turns(messages: Sequence[Message]) -> Iterator[tuple[str, list[str]]]:
    turn: tuple[str, list[str]] | None = None
    for message in messages:
        if message.role == "assistant":
            if turn:
                yield turn
            turn = message.content, []
        elif message.role != "system" and turn:
            turn[1].append(message.content.strip("\n"))
    if turn:
        yield turn


def split_command(said: str) -> tuple[str, str]:
    """(thought, command) of an agent's turn: its one fenced block is the command, the rest the thought."""
    blocks = list(_BLOCK.finditer(said))
    if len(blocks) != 1:
        return said.strip(), ""
    block = blocks[0]
    around = (said[: block.start()].strip(), said[block.end() :].strip())
    return "\n".join(part for part in around if part), block["body"].strip("\n")


def render_steps(messages: Sequence[Message], include_issue: bool = False) -> str:
    """The steps as text, with the issue before them where it is wanted. System prompts are never shown.

    Errors: `ValueError` for a trajectory in which the agent says nothing.
    """
    steps = steps_of(messages)
    if not steps:
        raise ValueError("the trajectory has no assistant turn")
    issue = [message.content.strip() for message in opening(messages) if message.role != "system"]
    shown = [f"Task\n{fenced(text)}" for text in issue] if include_issue else []
    return "\n\n".join([*shown, *(_step(number, step) for number, step in enumerate(steps, 1))])


def _step(number: int, step: Step) -> str:
    lines = [f"Step {number}"]
    # mini-swe-agent's prompt asks its model for the heading.
    if thought := step.thought.removeprefix("THOUGHT:").strip():
        lines.append(f"Thought: {thought}")
    if step.command:
        lines.append(f"Command:\n{fenced(step.command)}")
    if step.observation:
        lines.append(f"Observation:\n{fenced(step.observation)}")
    return "\n".join(lines)
