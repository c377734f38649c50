"""Edits of a playbook."""

from __future__ import annotations

from enum import Enum

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
    entry_ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    section: str = ""
    rationale: str = ""
    expected_effect: str = ""
    scope_hint: str = ""
    source_tasks: tuple[str, ...] = ()
