"""One rollout while it runs: its chat messages, its segments, and what the engine was asked.

Messages exist to render tool responses; training data comes from the segments alone and is never re-tokenised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from verl.experimental.agent_loop.tool_parser import FunctionCall
from verl.utils.tokenizer.continuous_token import ContinuousTokenBuilder

from cleartrace.purify.turn import Turn
from cleartrace.trajectory.audit import EngineRequest, Rewrite
from cleartrace.trajectory.flatten import context_hash, flatten_ids
from cleartrace.trajectory.segment import Segment, SegmentKind, context_segment
from cleartrace_verl.tool_calls import UnreadableCall


@dataclass(frozen=True)
class Sampled:
    """A turn with the calls parsed from it and its text without them."""

    turn: Turn
    calls: tuple[FunctionCall | UnreadableCall, ...]
    content: str

    def message(self) -> dict[str, Any]:
        """The assistant message veRL's token builders see; its tokens are already in the segments."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        readable = [call for call in self.calls if isinstance(call, FunctionCall)]
        if readable:
            message["tool_calls"] = [
                {"type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in readable
            ]
        return message


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

        Raises ValueError for token builders that drop tokens of the history, which segments cannot follow.
        """
        turn, _ = sampled[-1]
        previous = [*self.messages, *(message for _, message in sampled)]
        added = [{"role": "tool", "content": text} for text in texts]
        runtime = [*self.ids, *(t for turn, _ in sampled for t in turn.token_ids)]
        merged = self.builder.merge_context_tokens(previous, [*previous, *added], runtime, tools=self.tool_schemas)
        if merged.removed_prefix_token_count:
            raise ValueError(
                f"{type(self.builder).__name__} removes history tokens before a tool response; "
                "cleartrace does not support this model family yet."
            )
        tail = merged.token_ids[len(runtime) :]
        cut = len(merged.inserted_token_ids)
        parts = ((SegmentKind.BOUNDARY, tail[:cut]), (SegmentKind.TOOL, tail[cut:]))
        segments = tuple(
            context_segment(kind, ids, position=turn.position, attempt=attempt) for kind, ids in parts if ids
        )
        return ToolMessages(tuple(added), segments)
