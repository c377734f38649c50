"""A sampled turn read into its parts: reasoning, calls, and the token at which the calls begin.

`saar_agent` reads every format through `CallParser`. veRL 0.9.1 has parsers for hermes, gpt-oss, qwen3_coder and glm
that leave out what they cannot read, and none for the other formats; those are registered here under their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser
from verl.utils.tokenizer.chat_template import apply_chat_template

from cleartrace.purify.boundary import Thought
from cleartrace_verl.formats import FORMATS, CallFormat, WrittenCall, call_format
from cleartrace_verl.token_text import token_bytes

_TAIL_TOKENS = 32
"""Tokens of a prompt's end that are looked at for an opened thought; a thought opener is one or two tokens."""


@dataclass(frozen=True)
class ReadTurn:
    """What a turn says.

    Args:
        boundary: index of the first token of the call part, None without a call.
        calls: in the order written, readable or not.
        content: the text before the calls, or all of it, without the token that ends the turn.
        call_text: the text of the call part, markers and end included.
    """

    boundary: int | None
    calls: tuple[WrittenCall, ...]
    content: str
    call_text: str = ""


class CallParser(ToolParser):
    """One call format under one tokenizer.

    Args:
        thought_opener: text at the end of a prompt after which the model is inside a thought; empty without one.
    """

    format: CallFormat

    def __init__(self, tokenizer: Any, written_as: CallFormat, thought_opener: str = "") -> None:
        super().__init__(tokenizer)
        self.format = written_as
        self.opener = thought_opener
        self.bytes_of = token_bytes(tokenizer)
        ends = [text for text in (tokenizer.eos_token, *written_as.ends) if text]
        self._ends = tuple(dict.fromkeys(ends))

    @property
    def stop_token_ids(self) -> list[int]:
        vocabulary = self.tokenizer.get_added_vocab()
        return sorted(vocabulary[text] for text in self.format.ends if text in vocabulary)

    def read(self, token_ids: Sequence[int], *, prompt_ids: Sequence[int] = ()) -> ReadTurn:
        """Read one turn sampled after `prompt_ids`, which say whether it begins inside a thought."""
        turn = self.bytes_of.turn(token_ids)
        calls = self.format.calls(turn.text, in_thought=self.opens_thought(prompt_ids))
        if not calls:
            return ReadTurn(None, (), self._without_end(turn.text))
        start = calls[0].start
        return ReadTurn(turn.token_at(start), calls, turn.text[:start], turn.text[start:])

    def opens_thought(self, prompt_ids: Sequence[int]) -> bool:
        """True when the template has opened a thought at the end of `prompt_ids`."""
        if not self.opener:
            return False
        return b"".join(self.bytes_of[i] for i in prompt_ids[-_TAIL_TOKENS:]).endswith(self.opener.encode())

    def _without_end(self, text: str) -> str:
        for end in self._ends:
            if text.endswith(end):
                return text[: -len(end)]
        return text

    async def extract_tool_calls(
        self, responses_ids: list[int], tools: list[Any] | None = None
    ) -> tuple[str, list[FunctionCall]]:
        """veRL's interface: the text before the calls, and the readable calls."""
        del tools
        turn = self.read(responses_ids)
        readable = [call for call in turn.calls if call.error is None]
        return turn.content, [
            FunctionCall(name=str(call.name), arguments=arguments_json(call), tool_call_id=call.call_id)
            for call in readable
        ]


def arguments_json(call: WrittenCall) -> str:
    return json.dumps(call.arguments or {}, ensure_ascii=False)


def thought_opener(tokenizer: Any, thought: Thought | None, template_options: Mapping[str, Any]) -> str:
    """The end of the generation prompt from an opened thought on; empty when the template opens none."""
    if thought is None or not tokenizer.chat_template:
        return ""
    prompt = apply_chat_template(
        tokenizer, [{"role": "user", "content": "?"}], tokenize=False, add_generation_prompt=True, **template_options
    )
    opened = str(prompt).rfind(thought.opens)
    return "" if opened < 0 or thought.closes in str(prompt)[opened:] else str(prompt)[opened:]


def call_parser(tokenizer: Any, name: str, template_options: Mapping[str, Any] | None = None) -> CallParser:
    """The parser of `multi_turn.format=name`. One object per tokenizer, format and template options.

    Raises ValueError for a format that is not known.
    """
    return _call_parser(tokenizer, name, json.dumps(dict(template_options or {}), sort_keys=True, default=str))


@lru_cache(maxsize=16)
def _call_parser(tokenizer: Any, name: str, template_options: str) -> CallParser:
    written_as = call_format(name)
    thought = getattr(written_as, "thought", None)
    return CallParser(tokenizer, written_as, thought_opener(tokenizer, thought, json.loads(template_options)))


def register() -> None:
    """Make the formats that veRL has no parser for known to it, under their names. Safe to call twice."""
    for name in FORMATS:
        if name not in ToolParser._registry:
            ToolParser.register(name)(_parser_class(name))


def _parser_class(name: str) -> type[ToolParser]:
    class RegisteredParser(CallParser):
        """What veRL makes from the name alone: it knows no template options, so it assumes the template's own."""

        def __init__(self, tokenizer: Any) -> None:
            known = call_parser(tokenizer, name)
            super().__init__(tokenizer, known.format, known.opener)

    return RegisteredParser


register()
