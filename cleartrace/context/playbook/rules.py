"""What an edit must respect. One set of checks for every text, whichever operation brings it (S4)."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cleartrace.context.playbook.text import same, section_key
from cleartrace.context.playbook.types import Entry, Playbook

OTHERS = "others"
MIN_CHARS = 11
"""Fewest characters of a text unless told otherwise."""


class Refused(ValueError):
    """Why an edit cannot be made."""


class Decay(str, Enum):
    """What is left of an entry's counts when its text is rewritten (R8)."""

    RESET = "reset"
    HALVE = "halve"

    def left(self, n: int) -> int:
        return n // 2 if self is Decay.HALVE else 0


class Rules(BaseModel):
    """Limits of edits. Zero switches a limit off.

    Args:
        min_chars, cap_chars: fewest and most characters of a text, white space at its ends not counted.
        add_only: allow no other operation than ADD.
        sections: names that are allowed; None takes those of the playbook, and an empty list allows any.
        decay: what becomes of the counts of a rewritten entry.
        max_entries: most entries; what would make more is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_chars: int = Field(default=MIN_CHARS, ge=1)
    cap_chars: int = Field(default=0, ge=0)
    add_only: bool = False
    sections: tuple[str, ...] | None = None
    decay: Decay = Decay.RESET
    max_entries: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _some_length_is_left(self) -> Rules:
        if 0 < self.cap_chars < self.min_chars:
            raise ValueError(f"no text fits: cap_chars {self.cap_chars} is below min_chars {self.min_chars}")
        return self

    def text(self, text: str, entries: Iterable[Entry]) -> str:
        """`text` without white space at its ends. `entries`: those it may not repeat, as they read now (R7)."""
        text = text.strip()
        if not text:
            raise Refused("the text is empty")
        if len(text) < self.min_chars:
            raise Refused(f"the text has {len(text)} characters; at least {self.min_chars} are needed")
        if 0 < self.cap_chars < len(text):
            raise Refused(f"the text has {len(text)} characters; at most {self.cap_chars} are allowed")
        plain = same(text)
        if twin := next((entry.id for entry in entries if same(entry.text) == plain), None):
            raise Refused(f"the same text is already in {twin}")
        return text

    def room(self, playbook: Playbook, more: int) -> None:
        """Refuses `more` entries where they are too many."""
        if 0 < self.max_entries < len(playbook) + more:
            raise Refused(f"the playbook is full: it has {len(playbook)} entries and {self.max_entries} are allowed")

    def section(self, name: str, playbook: Playbook) -> tuple[str, str]:
        """(the section as it is spelled here, a note where it is another than was asked for)."""
        key = section_key(name)
        allowed = list(playbook.sections) if self.sections is None else list(self.sections)
        if not allowed:
            return _spelled(key or OTHERS, {entry.section for entry in playbook.entries}) or key or OTHERS, ""
        if found := _spelled(key, allowed):
            return found, ""
        what = f"there is no section {name.strip()!r}" if key else "no section is named"
        if others := _spelled(OTHERS, allowed):
            return others, f"{what}; filed under {others}"
        near = difflib.get_close_matches(key, [section_key(one) for one in allowed], n=1, cutoff=0.0) if key else []
        hint = f"the nearest is {_spelled(near[0], allowed)}" if near else f"there are {', '.join(allowed)}"
        raise Refused(f"{what}; {hint}")


def _spelled(key: str, names: Collection[str]) -> str | None:
    """How the section with this key is written among `names`."""
    return next((name for name in sorted(names) if section_key(name) == key), None)
