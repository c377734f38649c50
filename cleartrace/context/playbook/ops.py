"""Edits of a playbook."""

from __future__ import annotations

from enum import Enum
from typing import Any

from cleartrace.context.playbook.text import Text
from cleartrace.episodes.types import Record


class Op(str, Enum):
    """What an edit does. MERGE and SPLIT are ours; the published ones are the first three."""

    ADD = "ADD"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    MERGE = "MERGE"
    SPLIT = "SPLIT"


class Operation(Record):
    """One edit.

    Args:
        entry_ids: of UPDATE, DELETE and SPLIT one, of MERGE two or more.
        texts: of ADD, UPDATE and MERGE one, of SPLIT two or more, of DELETE none.
        section: of ADD; of the others '' keeps what is there.
        source_tasks: tasks whose reflection asked for it.
    """

    op: Op
    entry_ids: tuple[Text, ...] = ()
    texts: tuple[Text, ...] = ()
    section: Text = ""
    rationale: Text = ""
    expected_effect: Text = ""
    scope_hint: Text = ""
    source_tasks: tuple[Text, ...] = ()


class Refusal(Record):
    """Something a model proposed that cannot be used, as it was written, and why."""

    proposed: Any
    reason: str
