"""What goes over the wire. Fields that are not named here are kept, as the contract allows any."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cleartrace.episodes.types import Context, Episode, Failure

SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
TOKEN_VARIABLE = "CLEARTRACE_ROLLOUT_TOKEN"
FAILED = 500
_SAMPLING = frozenset(
    ("temperature", "max_tokens", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty", "frequency_penalty",
     "repetition_penalty")
)  # fmt: skip
_SEGMENT = re.compile(r"(?!\.)[\w.+=@,:~ -]{1,200}")


class Block(BaseModel):
    """`_rollout` of an invocation.

    Args:
        exp_id, input_id, session_id: make the key of the result. The same three are the same rollout: it is made once.
            Without a session, neither here nor in the header, each call is a new one.
        s3_bucket: where results go. With a folder in place of a store of objects, a folder in it.
        base_url, model_id: the model to run; the endpoint's own where they are missing.
        sampling_params: of that model.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    exp_id: str
    input_id: str
    s3_bucket: str
    session_id: str | None = None
    base_url: str | None = None
    model_id: str | None = None
    sampling_params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("exp_id")
    @classmethod
    def _path(cls, value: str) -> str:
        for segment in value.split("/"):
            _name(segment)
        return value

    @field_validator("input_id", "s3_bucket", "session_id")
    @classmethod
    def _one(cls, value: str | None) -> str | None:
        return None if value is None else _name(value)

    @field_validator("sampling_params")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(set(value) - _SAMPLING):
            raise ValueError(f"no sampling parameter {', '.join(unknown)}; there are {', '.join(sorted(_SAMPLING))}")
        return value

    def key(self, session: str) -> str:
        """Of the result, in its bucket."""
        return f"{self.exp_id}/{self.input_id}/{_name(session)}.json"


def _name(text: str) -> str:
    """A name that is one step of a path on every system, and leads nowhere else."""
    if not _SEGMENT.fullmatch(text) or text != text.strip():
        raise ValueError(
            f"{text[:80]!r} is no name: letters, digits and . _ - + = @ , : ~ are, not beginning with a dot"
        )
    return text


class Invocation(BaseModel):
    """One rollout that is asked for.

    Args:
        context, seed: ours. What the caller's provider said beside the task; the endpoint's own provider, and a seed
            derived from the result's key, where they are missing.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    task_id: str
    rollout: Block = Field(alias="_rollout")
    context: Context | None = None
    seed: int | None = None


class Place(BaseModel):
    """Where a result is, or will be."""

    model_config = ConfigDict(frozen=True)

    s3_bucket: str
    result_key: str


class State(str, Enum):
    """Of a rollout, as GET says it."""

    WAITING = "waiting"
    PROCESSING = "processing"
    DONE = "done"


class Result(BaseModel):
    """One finished rollout.

    Args:
        rewards: one score, from 0 to 1; None for a rollout that failed, which is not a score of 0.
        status_code: 200, or 500 where somebody else than the model is to blame.
        stop_reason: why the run ended, or what spoiled it.
        payload: the invocation, unchanged.
        episode, failure, blame: ours.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    rewards: list[float] | float | None = None
    status_code: int = 200
    stop_reason: str = "end_turn"
    input_id: str = ""
    s3_bucket: str = ""
    result_key: str = ""
    payload: dict[str, Any] = Field(default_factory=dict)
    traceback: str | None = None
    episode: Episode | None = None
    failure: Failure | None = None
    blame: str = ""

    @property
    def failed(self) -> bool:
        return self.status_code != 200

    def written(self) -> bytes:
        """One JSON object; what there is nothing to say of is left out, but a missing score is said."""
        value = self.model_dump(mode="json")
        empty = [name for name in ("traceback", "episode", "failure", "blame") if not value[name]]
        return json.dumps({name: one for name, one in value.items() if name not in empty}).encode()
