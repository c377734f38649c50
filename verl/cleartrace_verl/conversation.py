"""One rollout while it runs: its chat messages, its segments, and what the engine was asked.

Messages exist to render tool responses; training data comes from the segments alone and is never re-tokenised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from verl.utils.tokenizer.continuous_token import ContinuousTokenBuilder

from cleartrace.purify.turn import Turn
from cleartrace.trajectory.audit import EngineRequest, Rewrite
from cleartrace.trajectory.flatten import context_hash, flatten_ids
from cleartrace.trajectory.segment import Segment, SegmentKind, context_segment
from cleartrace_verl.formats import WrittenCall
from cleartrace_verl.token_builder import assistant_stub
from cleartrace_verl.tool_parsers import arguments_json

UNNAMED = "unknown"
"""Name of a call whose tool could not be read, in formats whose tool answers carry the name."""


@dataclass(frozen=True)
class Sampled:
    """A turn with the calls read from it and its text before them."""

    turn: Turn
    calls: tuple[WrittenCall, ...]
    content: str

    def message(self) -> dict[str, Any]:
        """The assistant message; its tokens are already in the segments.

        Every call has an entry, readable or not, because every call is answered: gpt-oss names each answer by its call.
        """
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.calls:
            message["tool_calls"] = [self._call(index, call) for index, call in enumerate(self.calls)]
        return message

    def _call(self, index: int, call: WrittenCall) -> dict[str, Any]:
        # Mistral's templates want an id of nine letters and digits.
        made_up = f"c{self.turn.position % 1000:03d}{self.turn.attempt % 100:02d}{index % 1000:03d}"
        function = {"name": call.name or UNNAMED, "arguments": arguments_json(call)}
        return {"id": call.call_id or made_up, "type": "function", "function": function}


@dataclass(frozen=True)
class ToolMessages:
    """The answer to one turn: chat messages and the segments that follow the turn's tokens."""

    messages: tuple[dict[str, Any], ...]
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return sum(len(s) for s in self.segments)


@dataclass
class Conversation:
    """The kept history. Only `append` changes it, so a rollback has nothing to restore."""

    messages: list[dict[str, Any]]
    segments: list[Segment]
    tool_schemas: list[dict[str, Any]]
    builder: ContinuousTokenBuilder
    requests: list[EngineRequest] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)
    engine_fields: dict[str, Any] = field(default_factory=dict)
    num_preempted: int = -1

    @property
    def ids(self) -> tuple[int, ...]:
        return flatten_ids(self.segments)

    @property
    def response_tokens(self) -> int:
        return sum(len(s) for s in self.segments if s.kind is not SegmentKind.PROMPT)

    def append_turn(self, turn: Turn, message: dict[str, Any]) -> None:
        self.segments.extend(turn.segments)
        self.messages.append(message)

    def note_rewrite(self, turn: Turn) -> None:
        """From here on history is the kept list plus the spliced `turn`, not what the last request saw."""
        self.rewrites.append(Rewrite.to(len(self.requests) - 1, [*self.segments, *turn.segments]))

    def note_shown(self, context: Sequence[int]) -> None:
        """The last request saw `context`, in which attempts stand that the kept list of before had lost."""
        self.rewrites.append(Rewrite(len(self.requests) - 2, len(context), context_hash(context)))

    def note_kept(self) -> None:
        """The kept list does not extend what the last request saw: more was shown to it, or its answer is dropped."""
        self.rewrites.append(Rewrite.to(len(self.requests) - 1, self.segments))

    def append_tools(self, answer: ToolMessages) -> None:
        self.segments.extend(answer.segments)
        self.messages.extend(answer.messages)

    def render_tools(
        self, sampled: Sequence[tuple[Turn, dict[str, Any]]], texts: Sequence[str], *, attempt: int
    ) -> ToolMessages:
        """Tokens of the tool messages `texts` behind the kept history plus the turns in `sampled`.

        A builder may drop the last token of the turn because its answer begins with the same one (GLM). What was
        sampled is never dropped: the answer is then written without it.
        """
        turn, message = sampled[-1]
        calls = message.get("tool_calls", [])
        previous = assistant_stub(calls)
        added = [
            {"role": "tool", "name": call["function"]["name"], "tool_call_id": call["id"], "content": text}
            for call, text in zip(calls, texts, strict=True)
        ]
        runtime = [*self.ids, *(t for turn, _ in sampled for t in turn.token_ids)]
        return self._behind(turn, runtime, previous, added, attempt)

    def _behind(
        self, turn: Turn, runtime: list[int], previous: list[dict[str, Any]], added: list[dict[str, Any]], attempt: int
    ) -> ToolMessages:
        """`added` as the builder writes it behind the tokens `runtime`, whose last message is like `previous[-1]`."""
        merged = self.builder.merge_context_tokens(previous, [*previous, *added], runtime, tools=self.tool_schemas)
        dropped = runtime[len(runtime) - merged.removed_prefix_token_count :]
        tail = merged.token_ids[len(runtime) - len(dropped) :]
        tail = tail[len(dropped) :] if tail[: len(dropped)] == dropped else tail
        cut = len(merged.inserted_token_ids)
        parts = ((SegmentKind.BOUNDARY, tail[:cut]), (SegmentKind.TOOL, tail[cut:]))
        segments = tuple(
            context_segment(kind, ids, position=turn.position, attempt=attempt) for kind, ids in parts if ids
        )
        return ToolMessages(tuple(added), segments)
