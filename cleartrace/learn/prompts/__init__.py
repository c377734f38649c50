"""Our prompts: one folder of templates for each kind of call, composed once per call (R10, R11).

`system.md` comes first and stays the same over a run, so that endpoints can cache it; `user.md` begins with what the
calls of one iteration share. Values are inserted and never read as templates (R15).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleartrace.llm.protocol import Message
from cleartrace.trajectory.record import written

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Prompt:
    """Two messages and what they were made from.

    Args:
        hash: `family:templates:text`: which kind of call, the version of its files, and these very messages.
    """

    system: str
    user: str
    hash: str

    @property
    def messages(self) -> tuple[Message, ...]:
        return Message(role="system", content=self.system), Message(role="user", content=self.user)


def compose(family: str, **values: Any) -> Prompt:
    """The prompt of one call. A value that a template names and `values` lacks is an error."""
    templates = _environment()
    system, user = (_tidy(templates.get_template(f"{family}/{name}.md").render(values)) for name in ("system", "user"))
    system = _BLANK_LINES.sub("\n\n", system)
    return Prompt(system, user, f"{family}:{version(family)}:{_digest(system, user)}")


@cache
def version(family: str) -> str:
    """8 hexadecimal characters over every file of a family."""
    files = sorted((_FOLDER / family).glob("*.md"))
    return _digest(*(part for path in files for part in (path.name, path.read_text(encoding="utf-8"))))[:8]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8")).hexdigest()[:16]


def _tidy(text: str) -> str:
    return (written(text) or "").strip() + "\n"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
