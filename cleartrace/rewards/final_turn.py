"""What the model wrote after the last tool output. Nothing that a program printed can be in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

FINAL_TURN = "final_turn"
"""Key of the final turn's text in what the reward is handed."""

_ANSWER = "assistant_reasoning"
_PROMPT = "prompt"
_TOOL = "tool"
_SPECIAL = re.compile(r"<\|\w+\|>")


def final_turn_ids(trajectory: str | Mapping[str, Any], response_ids: Sequence[int]) -> list[int]:
    """Token ids of the answer: the last turn without its tool call, cut where the response was cut.

    Args:
        trajectory: a `TrajectoryRecord`, or its JSON.
        response_ids: the response that is trained, without padding.

    Empty when the response ends with a tool output or with a call and nothing before it.
    """
    found: list[int] = []
    position = 0
    for segment in _segments(trajectory):
        if segment["kind"] == _PROMPT:
            continue
        following = position + len(segment["token_ids"])
        if segment["kind"] == _TOOL:
            found = []
        elif segment["kind"] == _ANSWER:
            found.extend(response_ids[position:following])
        position = following
    return found


def final_turn_text(trajectory: str | Mapping[str, Any]) -> str:
    """The same from the record alone, for readers without a tokenizer.

    Special tokens are left out. A character that two tokens share reads as U+FFFD, because the record has the text
    of each token by itself; decode `final_turn_ids` where the tokenizer is at hand.
    """
    found: list[str] = []
    for segment in _segments(trajectory):
        if segment["kind"] == _TOOL:
            found = []
        elif segment["kind"] == _ANSWER:
            found.extend(piece for piece in segment["pieces"] if not _SPECIAL.fullmatch(piece))
    return "".join(found)


def _segments(trajectory: str | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    record = json.loads(trajectory) if isinstance(trajectory, str) else trajectory
    if "segments" not in record:
        raise ValueError("the trajectory record has no segments, so nobody can say what the model wrote")
    return record["segments"]


def answer_text(response: str, info: Mapping[str, Any]) -> str:
    """What may be graded of a rollout.

    Args:
        response: the decoded response, all turns, tool outputs included.
        info: what veRL hands the reward: `final_turn` (the decoded `final_turn_ids`), `trajectory`, `num_turns`; each
            may be missing.

    Errors: `ValueError` for a response of several turns without a record of who wrote what.
    """
    if info.get(FINAL_TURN) is not None:
        return str(info[FINAL_TURN])
    if info.get("trajectory"):
        return final_turn_text(info["trajectory"])
    turns = info.get("num_turns")
    if turns is None or int(turns) <= 2:
        return response
    raise ValueError(
        "this rollout has several turns and no record of which of them the model wrote, so that tool output could be "
        "graded as its answer: use a saar agent loop, or set the reward option graded_text=response to accept that"
    )
