"""A trajectory as text, for people and for agents that reflect on it. Only what the agent saw or did is written."""

from __future__ import annotations

import json

from cleartrace.episodes.types import Step, StepKind, Trajectory

_TITLES = {
    StepKind.INPUT: "input",
    StepKind.THOUGHT: "thought",
    StepKind.MESSAGE: "message",
    StepKind.CALL: "call",
    StepKind.RESULT: "result",
}


def render(trajectory: Trajectory, chars: int | None = None) -> str:
    """Markdown: a heading for each step, with its number.

    Fields that this version does not know are left out, so that nothing an importer kept can reach a reader (A4).

    Args:
        chars: cuts the text of each step; None writes all of it.
    """
    blocks = [f"# Run on task {trajectory.task_id} ({trajectory.environment})"]
    context = _block("Context given beside the task", trajectory.context.text or "(none)", chars)
    placed = False
    for number, step in enumerate(trajectory.steps, 1):
        if not placed and not (step.kind is StepKind.INPUT and step.name == "system"):
            blocks.append(context)
            placed = True
        blocks.append(_step(number, step, chars))
    if not placed:
        blocks.append(context)
    blocks.append(_block("Final answer", trajectory.output or "(none)", chars))
    blocks.append(f"The run ended: {trajectory.stop.value}, after {trajectory.turns} turns.")
    return "\n\n".join(blocks) + "\n"


def clip(text: str, chars: int | None) -> str:
    """The beginning of `text`, with a note of what was cut."""
    if chars is None or len(text) <= chars:
        return text
    return f"{text[:chars]}\n[cut: {chars} of {len(text)} characters are shown]"


def _step(number: int, step: Step, chars: int | None) -> str:
    title = f"Step {number}: {_TITLES[step.kind]}"
    if step.name:
        title += f" ({step.name})" if step.kind is StepKind.INPUT else f" of {step.name}"
    if step.is_error:
        title += ", an error"
    text = step.text
    if step.kind is StepKind.CALL and step.arguments is not None:
        text = json.dumps(step.arguments, ensure_ascii=False, indent=1)
    return _block(title, text, chars)


def _block(title: str, text: str, chars: int | None) -> str:
    """Text stands in a fence that it does not contain, so that it cannot pass for a heading of ours."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"## {title}\n{fence}\n{clip(text, chars)}\n{fence}"
