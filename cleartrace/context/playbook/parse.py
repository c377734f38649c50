"""Edits as models write them. Whatever the reply holds, each proposal becomes an operation or a refusal (S3, S4)."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from cleartrace.context.playbook.ops import Op, Operation, Refusal
from cleartrace.trajectory.record import written

_OP_NAMES = ("op", "type", "operation", "action")
_ID_NAMES = ("entry_ids", "entry_id", "ids", "id")
_TEXT_NAMES = ("texts", "text", "content", "contents", "new_content")
_LISTS = ("operations", "edits", "mutations")
_SUMMARIES = ("mutation_summary", "summary")
_VALUE_BEGINS = re.compile(r"[{\[](?=\s*[{\[\"'])")
_STRING_OR_BRACKET = re.compile(
    r""""(?:[^"\\]|\\.)*(?:"|\Z)|(?<=[\s{\[:,(])'(?:[^'\\]|\\.)*(?:'|\Z)|[{}\[\]]""", re.DOTALL
)


class Read(NamedTuple):
    """Unpacks as (operations, refused)."""

    operations: tuple[Operation, ...]
    refused: tuple[Refusal, ...]


class _Unusable(ValueError):
    """Why one proposal cannot be an operation."""


def read_operations(raw: object, tasks: Collection[str] | None = None) -> Read:
    """Operations from a list, from `{"operations": [...]}`, from one operation, or from text that holds any of these.

    How many entries and texts an operation needs is for `apply` to check; here is refused what has no form at all.

    Args:
        raw: parsed JSON, or the text of a reply.
        tasks: those that were reflected on. A proposal's `source_tasks` are cut down to them; where it names none of
            its own, it gets all of them, and an explicit empty list stays empty.

    Example:
        >>> done = read_operations([{"type": "add", "content": "Read the total twice.", "section": None}, "DELETE e1"])
        >>> done.operations[0].op.value, done.operations[0].texts, done.refused[0].reason
        ('ADD', ('Read the total twice.',), 'not an object but a text')
    """
    if isinstance(raw, str):
        if _is_cut_off(raw):
            return Read((), (Refusal(proposed=None, reason="the JSON of the reply has no end"),))
        raw = _found_in(raw)
        if raw is None:
            return Read((), (Refusal(proposed=None, reason="the reply holds no JSON with operations"),))
    proposals = _proposals(raw)
    if isinstance(proposals, Refusal):
        return Read((), (proposals,))
    operations: list[Operation] = []
    refused: list[Refusal] = []
    for proposal in proposals:
        try:
            operations.append(_operation(proposal, tasks))
        except _Unusable as reason:
            refused.append(Refusal(proposed=_storable(proposal), reason=str(reason)))
    return Read(tuple(operations), tuple(refused))


def read_summary(raw: object) -> str:
    """The `mutation_summary` of a reply, '' where it has none."""
    if isinstance(raw, str):
        raw = None if _is_cut_off(raw) else _found_in(raw)
    found = (raw.get(name) for name in _SUMMARIES) if isinstance(raw, dict) else ()
    return str(written(next((text.strip() for text in found if isinstance(text, str)), "")))


def _found_in(text: str) -> object:
    """The first JSON in `text` that looks like edits (R14)."""
    from cleartrace.llm.json import json_candidates

    for candidate in json_candidates(text):
        if isinstance(candidate, dict) and any(name in candidate for name in (*_LISTS, *_OP_NAMES)):
            return candidate
        if isinstance(candidate, list) and (not candidate or any(isinstance(one, dict) for one in candidate)):
            return candidate
    return None


def _is_cut_off(text: str) -> bool:
    """Whether a value begins that is never closed: what stands in it whole is not all that was meant."""
    position = 0
    while begins := _VALUE_BEGINS.search(text, position):
        end = _end_of_value(text, begins.start())
        if end is None:
            return True
        position = end
    return False


def _end_of_value(text: str, start: int) -> int | None:
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return None


def _proposals(raw: object) -> list[Any] | Refusal:
    """One value for each proposal. `operations: null` proposes nothing."""
    if isinstance(raw, dict):
        name = next((name for name in _LISTS if name in raw), None)
        if name is None:
            return [raw] if any(key in raw for key in _OP_NAMES) else _no_list(raw, 'no list "operations" in it')
        value = raw[name]
        if isinstance(value, dict):
            return [value]
        if value is not None and not isinstance(value, list):
            return _no_list(raw, f'"{name}" is not a list but {_kind(value)}')
        return value or []
    return raw if isinstance(raw, list) else _no_list(raw, f"not a list of operations but {_kind(raw)}")


def _no_list(raw: object, reason: str) -> Refusal:
    return Refusal(proposed=_storable(raw), reason=reason)


def _operation(proposal: object, tasks: Collection[str] | None) -> Operation:
    if not isinstance(proposal, dict):
        raise _Unusable(f"not an object but {_kind(proposal)}")
    return Operation(
        op=_op(_first(proposal, _OP_NAMES)),
        entry_ids=_ids(_first(proposal, _ID_NAMES)),
        texts=_texts(_first(proposal, _TEXT_NAMES)),
        section=_section(proposal.get("section")),
        rationale=_free(proposal.get("rationale", proposal.get("reason"))),
        expected_effect=_free(proposal.get("expected_effect")),
        scope_hint=_free(proposal.get("scope_hint")),
        source_tasks=_source_tasks(proposal, tasks),
    )


def _first(proposal: dict[str, Any], names: tuple[str, ...]) -> object:
    """The first of these fields that says something."""
    return next((proposal[name] for name in names if proposal.get(name) not in (None, "", [])), None)


def _op(value: object) -> Op:
    if not isinstance(value, str):
        raise _Unusable("it does not say which operation it is" if value is None else f"op is {_kind(value)}")
    name = value.strip().upper()
    known = [op.value for op in Op]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise _Unusable(
            f"unknown operation {value.strip()[:40]!r}; "
            + (f"is it {near[0]}?" if near else "known: " + ", ".join(known))
        )
    return Op(name)


def _ids(value: object) -> tuple[str, ...]:
    """One id or several, with or without the brackets they are shown in."""
    ids: list[str] = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(one, str | int) or isinstance(one, bool):
            raise _Unusable(f"an entry id is {_kind(one)}")
        ids.append(str(one).strip().strip("[]").strip())
    return tuple(ids)


def _texts(value: object) -> tuple[str, ...]:
    """A text, or a list of texts or of objects with one."""
    texts: list[str] = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(one, dict):
            one = _first(one, ("content", "text"))
        if not isinstance(one, str):
            raise _Unusable(f"its content is not a text but {_kind(one)}")
        texts.append(one)
    return tuple(texts)


def _section(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise _Unusable(f"section is not a text but {_kind(value)}")
    return value or ""


def _free(value: object) -> str:
    """Explanations decide nothing, so whatever stands there is kept as text."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(_storable(value), ensure_ascii=False)


def _source_tasks(proposal: dict[str, Any], tasks: Collection[str] | None) -> tuple[str, ...]:
    given = proposal.get("source_tasks")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        return tuple(tasks or ())
    named = (str(one) for one in given if isinstance(one, str | int))
    return tuple(dict.fromkeys(one for one in named if tasks is None or one in tasks))


def _storable(value: object) -> Any:
    """`value` as JSON can hold it, for the record."""
    return json.loads(str(written(json.dumps(value, ensure_ascii=False, default=str, skipkeys=True))))


def _kind(value: object) -> str:
    kinds = {type(None): "null", bool: "a truth value", int: "a number", float: "a number", str: "a text"}
    kinds |= {list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
