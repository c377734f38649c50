"""The shell protocol in tokens: a turn read into thought and command, observations as messages of the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from verl.utils.tokenizer.continuous_token import ContinuousTokenBuilder

from cleartrace.purify.turn import Turn
from cleartrace.tools.shell.protocol import Action, read_action
from cleartrace.trajectory.segment import SegmentKind, context_segment
from cleartrace_verl.conversation import Conversation, ToolMessages
from cleartrace_verl.formats import WrittenCall
from cleartrace_verl.formats.tagged import THINK
from cleartrace_verl.token_builder import TemplateTokenBuilder, UnsupportedTemplate
from cleartrace_verl.tool_parsers import CallParser, ReadTurn, thought_opener

TOOL = "bash"
_BEFORE = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "?"}]
_PROBE = "observation number one"


@dataclass(frozen=True)
class BashBlock:
    """One fenced bash block a turn. A turn that breaks the rule is a call that cannot be read, not a turn without."""

    name: str = "mini_swe"
    ends: tuple[str, ...] = ()

    def calls(self, text: str, *, in_thought: bool = False) -> tuple[WrittenCall, ...]:
        """Exactly one call for any text that is not empty."""
        if not text:
            return ()
        found = read_action(text, in_thought=in_thought)
        # A turn cut inside a character has bytes that no record can hold.
        written = text[found.start :].encode("utf-8", "replace").decode()
        if isinstance(found, Action):
            # Under the name that other tools have for a program: records and comparisons read it there.
            return (WrittenCall(found.start, written, TOOL, {"code": found.command}),)
        return (WrittenCall(found.start, written, error=found.message),)


class ShellParser(CallParser):
    """Reads blocks whose closing fence is followed by the token that ends the turn."""

    def read(self, token_ids: Sequence[int], *, prompt_ids: Sequence[int] = ()) -> ReadTurn:
        """Read one turn sampled after `prompt_ids`, which say whether it begins inside a thought."""
        turn = self.bytes_of.turn(token_ids)
        text = self._without_end(turn.text)
        calls = self.format.calls(text, in_thought=self.opens_thought(prompt_ids))
        if not calls:
            return ReadTurn(None, (), text)
        start = calls[0].start
        return ReadTurn(turn.token_at(start), calls, text[:start], turn.text[start:])


@dataclass
class ShellConversation(Conversation):
    """A conversation whose commands are answered by the user. Nothing that was sampled is tokenised again.

    `turn_ends`: tokens a finished turn may end with. A turn cut off at its length gets the first of them, untrained:
    without it the observation would stand inside the model's turn.
    """

    turn_ends: tuple[int, ...] = ()

    def render_tools(
        self, sampled: Sequence[tuple[Turn, dict[str, Any]]], texts: Sequence[str], *, attempt: int
    ) -> ToolMessages:
        """Tokens of one message of the user behind the kept history plus the turns in `sampled`."""
        turn, _ = sampled[-1]
        runtime = [*self.ids, *(token for turn, _ in sampled for token in turn.token_ids)]
        missing = self.turn_ends[:1] if self.turn_ends and runtime[-1] not in self.turn_ends else ()
        added = [{"role": "user", "content": "\n".join(texts)}]
        answer = self._behind(turn, [*runtime, *missing], _BEFORE, added, attempt)
        if not missing:
            return answer
        end = context_segment(SegmentKind.BOUNDARY, missing, position=turn.position, attempt=attempt)
        return ToolMessages(answer.messages, (end, *answer.segments))


def shell_parser(tokenizer: Any, template_options: dict[str, Any]) -> ShellParser:
    """The parser under one tokenizer and the options its template is rendered with."""
    return ShellParser(tokenizer, BashBlock(), thought_opener(tokenizer, THINK, template_options))


@lru_cache(maxsize=16)
def turn_ends(tokenizer: Any) -> tuple[int, ...]:
    """The token the template ends a turn with, then the tokenizer's end of sequence; those that are known."""
    known = (TemplateTokenBuilder(tokenizer).turn_end, tokenizer.eos_token_id)
    return tuple(dict.fromkeys(token for token in known if token is not None))


@lru_cache(maxsize=16)
def require_observations(builder: ContinuousTokenBuilder) -> None:
    """See that a message of the user can follow a turn. Raises UnsupportedTemplate with what to do."""
    added = [{"role": "user", "content": _PROBE}]
    try:
        ids = builder.tokenize_context_incremental_messages(_BEFORE, [*_BEFORE, *added])
    except Exception as error:  # templates raise what they like
        reason = f"{type(error).__name__}: {error}"
    else:
        if _PROBE in builder.tokenizer.decode(ids):
            return
        reason = "it leaves the message out"
    raise UnsupportedTemplate(
        f"The chat template cannot show a command's output behind a turn: {reason}. Give a template that renders a "
        "message of role 'user' anywhere as actor_rollout_ref.model.custom_chat_template."
    )
