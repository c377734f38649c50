"""An answer of a given shape: the schema first, one repair second, a failure with its reason third (rule 14)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from cleartrace.episodes.types import Usage
from cleartrace.llm.json import json_candidates
from cleartrace.llm.protocol import LLM, Finish, Malformed, Message, Rejected, Reply, Request

T = TypeVar("T", bound=BaseModel)
_SHOWN_ERRORS = 8
_SHOWN_INPUT = 120


class Problem(str, Enum):
    """Why no value came out."""

    NO_JSON = "no_json"
    SCHEMA = "schema"
    TRUNCATED = "truncated"
    EMPTY = "empty"


@dataclass(frozen=True)
class Structured(Generic[T]):
    """`value`, or None with `problem` and `error`. `replies`: all that were paid for, the repair last."""

    value: T | None
    problem: Problem | None = None
    error: str = ""
    replies: tuple[Reply, ...] = ()

    @property
    def ok(self) -> bool:
        return self.value is not None

    @property
    def usage(self) -> Usage:
        return sum((reply.usage for reply in self.replies), Usage())

    @property
    def text(self) -> str:
        """What the model wrote last."""
        return self.replies[-1].text if self.replies else ""


def parse_structured(text: str, model: type[T]) -> Structured[T]:
    """The first candidate of `json_candidates(text)` that `model` accepts, without asking anyone.

    Where none is accepted, the error is that of the likeliest one.
    """
    first = ""
    for candidate in json_candidates(text):
        try:
            return Structured(model.model_validate(candidate))
        except ValidationError as error:
            first = first or "; ".join(_lines(error))
        except (TypeError, LookupError, ArithmeticError, RecursionError) as error:  # validators meet odd values
            first = first or f"{type(error).__name__}: {error}"
    if not first:
        return Structured(None, Problem.NO_JSON, "there is no JSON object in the answer")
    return Structured(None, Problem.SCHEMA, first)


async def complete_structured(llm: LLM, request: Request, model: type[T], repairs: int = 1) -> Structured[T]:
    """Ask for an answer that `model` accepts. A bad answer is shown its error and asked for again, `repairs` times.

    The schema travels in the request, for endpoints with a structured mode; the prompt still has to describe it.
    Bad output never raises. Raises `LLMError` where there is no answer at all, `Refused` among them.
    """
    if request.schema_ is None:
        request = request.model_copy(update={"schema_": model.model_json_schema()})
    replies: list[Reply] = []
    asked, found = request, Structured[T](None, Problem.EMPTY)
    for _ in range(repairs + 1):
        try:
            reply = await llm.complete(asked)
        except Malformed as error:
            return Structured(None, Problem.EMPTY, str(error), tuple(replies))
        except Rejected:
            if not replies:
                raise
            break  # a repair that the endpoint does not take, as one too long for it, leaves the first failure
        replies.append(reply)
        found = _judged(reply, model)
        if found.ok:
            break
        asked = request.model_copy(update={"messages": (*request.messages, *_repair(reply, found))})
    return Structured(found.value, found.problem, found.error, tuple(replies))


def correction(found: Structured[Any]) -> str:
    """What a model is told whose answer could not be used."""
    shorter = " Keep it much shorter than before." if found.problem is Problem.TRUNCATED else ""
    return (
        f"Your answer could not be used: {found.error}.{shorter} Reply again with the corrected JSON value alone: "
        "no fence, no text before or after it."
    )


def _judged(reply: Reply, model: type[T]) -> Structured[T]:
    found = parse_structured(reply.text, model)
    if found.ok or reply.finish is not Finish.LENGTH:
        return found
    return Structured(None, Problem.TRUNCATED, f"the answer was cut off at the limit of tokens ({found.error})")


def _repair(reply: Reply, found: Structured[Any]) -> Iterator[Message]:
    if reply.message.content or reply.message.native is not None:
        # Calls would have to be answered; the repair is about the text alone.
        yield reply.message if not reply.message.calls else Message(role="assistant", content=reply.text or "(no text)")
    yield Message(role="user", content=correction(found))


def _lines(error: ValidationError) -> Iterator[str]:
    problems = error.errors(include_url=False, include_context=False)
    for problem in problems[:_SHOWN_ERRORS]:
        place = ".".join(str(part) for part in problem["loc"]) or "the value"
        yield f"{place}: {problem['msg']} (got {repr(problem['input'])[:_SHOWN_INPUT]})"
    if len(problems) > _SHOWN_ERRORS:
        yield f"and {len(problems) - _SHOWN_ERRORS} more"
