"""What an editor and a verifier are, and the five criteria of a good edit (arXiv 2606.17053)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from PIL import Image

from cleartrace.pairs.make.scenes.scene import Box
from cleartrace.pairs.mine.images.question import ImageQuestion


class Criterion(str, Enum):
    """What an edit must fulfil."""

    ANSWER_CHANGES = "answer_changes"
    LOCAL = "local"
    REST_UNCHANGED = "rest_unchanged"
    NO_DEFECTS = "no_defects"
    NO_RESTYLING = "no_restyling"


@dataclass(frozen=True)
class Edit:
    """A changed picture.

    Args:
        answer: what the same question has for an answer now.
        instruction: what was changed, in words.
        target: the region that the answer is read from, in pixels, where the editor knows it.
    """

    image: Image.Image
    answer: str
    instruction: str
    target: Box | None = None


@dataclass(frozen=True)
class Verdict:
    """Criteria that an edit fails, and why. None failed: it is kept."""

    failed: tuple[Criterion, ...] = ()
    reason: str = ""

    @property
    def passed(self) -> bool:
        return not self.failed


class NoEdit(RuntimeError):
    """The editor has none for this picture; the text says why. It is counted, and the run goes on."""


class Editor(Protocol):
    """Changes a picture so that the answer to its question becomes another one."""

    def edit(self, question: ImageQuestion, image: Image.Image) -> Edit:
        """Raises NoEdit."""
        ...


class Verifier(Protocol):
    """Judges an edit."""

    def verify(self, question: ImageQuestion, image: Image.Image, edit: Edit) -> Verdict: ...
