"""The patch a run ended with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.pairs.mine.trajectories.patch import FilePatch, parse_patch
from cleartrace.pairs.record import Message

MARKERS = ("MINI_SWE_AGENT_FINAL_OUTPUT", "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")
_STAGED = re.compile(r"git\s+diff\s+(?:--cached|--staged)")
_SUBMIT = re.compile("|".join((*MARKERS, r"^submit\s*$", r"<function=submit>")), re.MULTILINE)


class PatchSource(str, Enum):
    """Where the patch was found."""

    SUBMISSION = "submission"
    STAGED = "staged"
    ROW = "row"
    INSTANCE = "instance"


@dataclass(frozen=True)
class Submission:
    """`end`: index of the message that submits; what comes from there on is no part of a context."""

    files: tuple[FilePatch, ...]
    source: PatchSource
    end: int


def submit_index(messages: Sequence[Message]) -> int:
    """Index of the last message in which the agent submits; the length when it never does."""
    for i in range(len(messages) - 1, -1, -1):
        if messages[i].role == "assistant" and _SUBMIT.search(messages[i].content):
            return i
    return len(messages)


def _reply(messages: Sequence[Message], i: int) -> str:
    """What the environment printed after message i, up to the agent's next one."""
    replies = []
    for message in messages[i + 1 :]:
        if message.role == "assistant":
            break
        replies.append(message.content)
    return "\n".join(replies)


def seen_before(messages: Sequence[Message], end: int) -> str:
    """All that the environment printed before message `end`, the issue left out."""
    begin = next((i for i, message in enumerate(messages) if message.role == "assistant"), len(messages))
    return "\n".join(message.content for message in messages[begin:end] if message.role != "assistant")


def oriented(files: tuple[FilePatch, ...], shown: str) -> tuple[FilePatch, ...]:
    """Turn a patch that puts the bug in: its added lines are what the agent saw in the code it was given.

    Raises:
        ValueError: the run shows no side of the patch, so its direction cannot be verified.
    """
    lines = {line.strip() for line in re.sub(r"(?m)^\s*\d+[:\t\- ]", "", shown).splitlines()}
    sides = [[line.strip() for line in f.side(sign) if len(line.strip()) > 3] for f in files for sign in "+-"]
    added = sum(line in lines for side in sides[0::2] for line in side)
    removed = sum(line in lines for side in sides[1::2] for line in side)
    if added == removed:
        raise ValueError("the run shows the code on neither side of the patch, or on both")
    return tuple(f.reversed for f in files) if added > removed else files


def find_submission(messages: Sequence[Message], row_patch: str = "", instance_patch: str = "") -> Submission | None:
    """The submitted diff; else the row's, else the last staged one, else the reverse of the instance's bug.

    Raises:
        ValueError: only the instance's patch is there, and the run does not tell which way it goes.
    """
    end = submit_index(messages)
    if end < len(messages) and (files := parse_patch(_reply(messages, end))):
        return Submission(files, PatchSource.SUBMISSION, end)
    if files := parse_patch(row_patch):
        return Submission(files, PatchSource.ROW, end)
    for i in range(min(end, len(messages) - 1), -1, -1):
        is_call = messages[i].role == "assistant" and _STAGED.search(messages[i].content)
        if is_call and (files := parse_patch(_reply(messages, i))):
            return Submission(files, PatchSource.STAGED, end)
    if files := parse_patch(instance_patch):
        return Submission(oriented(files, seen_before(messages, end)), PatchSource.INSTANCE, end)
    return None
