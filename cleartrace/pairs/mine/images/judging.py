"""The last stage of retrieval: a judge rejects matches that are no fair test."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from PIL import Image

from cleartrace.llm.http import RequestRefused
from cleartrace.pairs.mine.images import prompts
from cleartrace.pairs.mine.images.api import ChatVision
from cleartrace.pairs.mine.images.retrieval import Match


class Judgement(str, Enum):
    """What a judge says about a match."""

    VALID = "valid"
    UNRELATED = "unrelated"
    QUESTION_DOES_NOT_APPLY = "question_does_not_apply"
    ANNOTATION_ARTEFACT = "annotation_artefact"
    AMBIGUOUS = "ambiguous"
    NOT_JUDGED = "not_judged"
    """The reply cannot be read, or the picture; the match is not kept."""


class MatchJudge(Protocol):
    """Looks at both pictures, with the question and its answers."""

    def judge(self, match: Match) -> Judgement: ...


@dataclass(frozen=True)
class ChatJudge:
    """A chat model that sees pictures."""

    chat: ChatVision

    def judge(self, match: Match) -> Judgement:
        text = prompts.JUDGE.format(question=match.a.question, first=match.a.answer, second=match.b.answer)
        try:
            with Image.open(match.a.image) as first, Image.open(match.b.image) as second:
                reply = self.chat.ask(text, first.convert("RGB"), second.convert("RGB"))
            label = str(reply.get("label", "")).upper()
            return Judgement.VALID if label == "VALID" else Judgement(str(reply.get("reason")))
        except (prompts.UnreadableReply, RequestRefused, OSError, ValueError):
            return Judgement.NOT_JUDGED
