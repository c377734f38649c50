"""What a judge is shown and what it says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from cleartrace.pairs.mine.trajectories.mask import Masked
from cleartrace.pairs.record import Message


class Label(str, Enum):
    """UNCERTAIN goes to the review queue, never to the pairs."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNCERTAIN = "UNCERTAIN"


class Reason(str, Enum):
    """What is wrong with a pair [paper]."""

    LENGTH_DISPARITY = "length_disparity"
    FORMATTING_DIFFERENCE = "formatting_difference"
    PATCH_TOKEN_LEAKAGE = "patch_token_leakage"
    MASKING_INCONSISTENCY = "masking_inconsistency"
    AMBIGUOUS_LABEL = "ambiguous_label"
    NOT_DECISIVE = "not_decisive"


class JudgeError(RuntimeError):
    """No verdict: the judge could not be reached or has no recording of the case. Never a verdict on the pair."""


@dataclass(frozen=True)
class Case:
    """One direction of a pair. `path` and `scope` are the changed file and function."""

    question: str
    answer: str
    pos: Masked
    neg: Masked
    path: str
    scope: str

    @property
    def key(self) -> str:
        """Hash of all that a judge may look at; recordings are found by it."""
        contexts = [[(m.role, m.content) for m in side.messages] for side in (self.pos, self.neg)]
        text = json.dumps([self.question, self.answer, contexts], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """`reason` is None for VALID. `note` is for people."""

    label: Label
    reason: Reason | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"label": self.label.value, "reason": self.reason and self.reason.value, "note": self.note}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Verdict:
        reason = data.get("reason")
        return cls(Label(data["label"]), Reason(reason) if reason else None, str(data.get("note") or ""))


class Judge(Protocol):
    """`name` goes into the records of the pairs."""

    @property
    def name(self) -> str: ...

    def __call__(self, case: Case) -> Verdict:
        """Raises: JudgeError."""
        ...


def text_of(messages: tuple[Message, ...]) -> str:
    return "\n".join(message.content for message in messages)
