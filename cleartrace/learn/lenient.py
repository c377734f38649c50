"""Reading what a model wrote: the schema decides, and what does not fit is left out and counted, not fatal (S3)."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, PrivateAttr, ValidationError, model_validator
from pydantic.config import JsonDict
from typing_extensions import Self

CLOSED: JsonDict = {"additionalProperties": False}
"""For the schema that a model is shown: it is not invited to invent fields. Those it writes anyway are ignored."""
_SHOWN = 160
_Path = tuple["str | int", ...]


class Lenient(BaseModel):
    """A reply of which valid fields and rows are kept.

    A row of a list that does not fit goes; a field that does not fit takes its default. Where a required field would
    go, the value that holds it goes instead, and when that is the whole reply it is an error as usual.

    Example:
        >>> class Marks(Lenient):
        ...     name: str
        ...     marks: list[int] = []
        >>> read = Marks.model_validate({"name": "a", "marks": [1, "x", 3]})
        >>> read.marks, len(read.dropped)
        ([1, 3], 1)
    """

    model_config = ConfigDict(frozen=True, json_schema_extra=CLOSED)
    _dropped: tuple[str, ...] = PrivateAttr(default=())

    @property
    def dropped(self) -> tuple[str, ...]:
        """What was left out: where, why, and what it was."""
        return self._dropped

    @model_validator(mode="wrap")
    @classmethod
    def _keep_what_fits(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        notes: dict[int, list[str]] = {}
        copied = False
        while True:
            try:
                value = handler(data)
            except ValidationError as error:
                if not isinstance(data, dict):
                    raise
                data, copied = data if copied else deepcopy(data), True
                if not _prune(data, error, notes):
                    raise
            else:
                value._dropped = tuple(note for held in notes.values() for note in held)
                return value


def _prune(data: dict[str, Any], error: ValidationError, notes: dict[int, list[str]]) -> bool:
    """Takes what `error` names out of `data`, and notes it under the identity of the container it was in.

    Whoever goes takes the notes on its own parts along, so that one broken row is one note.
    """
    messages = {_place(data, problem["loc"]): problem["msg"] for problem in error.errors()}
    messages.pop((), None)
    # From behind, so that the positions of rows before stay true, and parts before what holds them.
    for path in sorted(messages, key=lambda path: [str(part).zfill(9) for part in path], reverse=True):
        holder: Any = data
        for part in path[:-1]:
            holder = holder[part]
        gone = holder[path[-1]]
        del holder[path[-1]]
        notes.pop(id(gone), None)
        note = f"{'.'.join(map(str, path))}: {messages[path]}: {repr(gone)[:_SHOWN]}"
        notes.setdefault(id(holder), []).append(note)
    return bool(messages)


def _place(data: Any, loc: Iterable[str | int]) -> _Path:
    """The longest start of `loc` that exists in `data`: a missing field ends it, and the branch of a union does."""
    path: list[str | int] = []
    at: Any = data
    for part in loc:
        if isinstance(at, dict):
            there = part in at
        else:
            there = isinstance(at, list) and isinstance(part, int) and part < len(at)
        if not there:
            break
        path.append(part)
        at = at[part]  # pyright: ignore[reportCallIssue, reportArgumentType]
    return tuple(path)
