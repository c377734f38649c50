"""The token builder of a rollout: veRL's where veRL knows the model family, ours where it falls back to its default.

veRL's default builder puts a tool answer straight behind the token that ends a turn. Templates that write a newline
there (ChatML in a Llama model, Gemma) would then be trained on text the model never sees otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from verl.utils.tokenizer.continuous_token import ContinuousTokenBuilder, MergeResult
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

_ANSWER = "cleartrace"
_USER = {"role": "user", "content": "?"}


class UnsupportedTemplate(ValueError):
    """A chat template or tokenizer that cannot show tool answers to the model. The message says what to do."""


class TemplateTokenBuilder(ContinuousTokenBuilder):
    """Reads from the template itself what stands between two turns, and answers calls one by one if it must."""

    def __init__(self, tokenizer: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, **kwargs)
        self.turn_end, self.separator, self._trailer = self._behind_a_turn()

    def _behind_a_turn(self) -> tuple[int | None, list[int], list[int]]:
        """(token that ends an assistant turn, tokens between it and the next, tokens at the end of all turns)."""
        messages = [_USER, {"role": "assistant", "content": _ANSWER}]
        text = str(self.tokenizer.apply_chat_template(messages, tokenize=False, **self.chat_template_kwargs))
        tail = self.tokenizer.encode(text.rpartition(_ANSWER)[2], add_special_tokens=False)
        added = self.tokenizer.added_tokens_decoder
        marks = [i for i, token in enumerate(tail) if token in added]
        if not marks:
            return None, [], []
        end = marks[1] if len(marks) > 1 else len(tail)
        return tail[marks[0]], tail[marks[0] + 1 : end], tail[end:]

    def _render_tokens(
        self,
        messages: list[dict[str, Any]],
        *,
        add_generation_prompt: bool,
        tools: list[dict[str, Any]] | None = None,
    ) -> list[int]:
        """Without what some templates write behind the last turn only (Phi): nothing can be appended there."""
        ids = super()._render_tokens(messages, add_generation_prompt=add_generation_prompt, tools=tools)
        trailer = self._trailer
        ends = trailer and not add_generation_prompt and ids[-len(trailer) :] == trailer
        return ids[: -len(trailer)] if ends else ids

    def _tokenize_tool_group(
        self,
        tool_messages: list[dict[str, Any]],
        *,
        previous_messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> list[int]:
        """As the template renders them behind one turn; one by one for a template that allows one call a turn."""

        def render(messages: Sequence[dict[str, Any]], last: bool) -> list[int]:
            return super(TemplateTokenBuilder, self)._tokenize_tool_group(
                list(messages),
                previous_messages=previous_messages,
                tools=tools,
                add_generation_prompt=add_generation_prompt and last,
            )

        try:
            return render(tool_messages, last=True)
        except TemplateError:
            if len(tool_messages) == 1:
                raise
        ids = [token for message in tool_messages[:-1] for token in render([message], last=False)]
        return ids + render(tool_messages[-1:], last=True)

    def _synthetic_assistant_for_tools(self, tool_messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Some templates join the arguments as text; the calls are cut away again, so an empty object will do."""
        assistant = super()._synthetic_assistant_for_tools(tool_messages)
        if "tool_calls" in assistant and self._arguments_are_text():
            for call in assistant["tool_calls"]:
                call["function"]["arguments"] = "{}"
        return assistant

    def _arguments_are_text(self) -> bool:
        return "['arguments'] +" in str(self.tokenizer.chat_template)

    def _merge_context_token_ids(
        self, runtime_token_ids: list[int], appended_token_ids: list[int], **kwargs: Any
    ) -> MergeResult:
        between = self.separator if runtime_token_ids and runtime_token_ids[-1] == self.turn_end else []
        return MergeResult(
            token_ids=[*runtime_token_ids, *between, *appended_token_ids],
            appended_token_count=len(appended_token_ids),
            inserted_token_ids=list(between),
        )


def assistant_stub(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The two messages a builder needs before tool answers: it asks them only for the names of the calls."""
    return [_USER, {"role": "assistant", "content": "", "tool_calls": [dict(call) for call in calls]}]


def token_builder(given: ContinuousTokenBuilder, family: str | None, parallel_calls: int = 2) -> ContinuousTokenBuilder:
    """The builder to use in place of `given`, the one veRL chose. One object per tokenizer and options.

    Args:
        family: veRL's name of a family whose builder is to be used, or None to choose.

    Raises:
        UnsupportedTemplate: the template cannot show tool answers.
    """
    if given.supports_multimodal():
        return given
    options = json.dumps(dict(given.chat_template_kwargs), sort_keys=True, default=str)
    return _token_builder(given.tokenizer, type(given), family, options, parallel_calls)


@lru_cache(maxsize=16)
def _token_builder(
    tokenizer: Any, default: type[ContinuousTokenBuilder], family: str | None, options: str, parallel_calls: int
) -> ContinuousTokenBuilder:
    template_options = json.loads(options)
    if family:
        builder = create_continuous_token_builder(tokenizer, model_family=family, chat_template_kwargs=template_options)
    else:
        chosen = TemplateTokenBuilder if default is ContinuousTokenBuilder else default
        builder = chosen(tokenizer, chat_template_kwargs=template_options)
    require_round_trip(tokenizer)
    require_tool_answers(builder, max(parallel_calls, 1))
    return builder


def require_round_trip(tokenizer: Any) -> None:
    """See that encoding keeps blanks and letters.

    transformers 5 builds some classes named in tokenizer_config.json anew instead of reading tokenizer.json. For
    DeepSeek's files, which name LlamaTokenizerFast, that loses every blank.

    Raises:
        UnsupportedTemplate: with what to do.
    """
    text = "two words, 数 and\n  more"
    shown = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))
    if shown.strip() != text:
        raise UnsupportedTemplate(
            f"The tokenizer, loaded as {type(tokenizer).__name__}, turns {text!r} into {shown!r}. Set "
            '"tokenizer_class": "PreTrainedTokenizerFast" in the tokenizer_config.json of the model.'
        )


def require_tool_answers(builder: ContinuousTokenBuilder, parallel_calls: int) -> None:
    """Render tool answers as a rollout will, and see that all of them reach the model.

    Raises:
        UnsupportedTemplate: with what to do.
    """
    texts = [f"answer number {i}" for i in range(parallel_calls)]
    calls = [
        {"id": f"probe{i:04d}", "type": "function", "function": {"name": "probe", "arguments": "{}"}}
        for i in range(parallel_calls)
    ]
    answers = [
        {"role": "tool", "name": "probe", "tool_call_id": call["id"], "content": text}
        for call, text in zip(calls, texts, strict=True)
    ]
    before = assistant_stub(calls)
    try:
        ids = builder.tokenize_context_incremental_messages(before, [*before, *answers])
    except Exception as error:  # templates raise what they like
        raise UnsupportedTemplate(_advice(f"{type(error).__name__}: {error}", parallel_calls)) from error
    shown = builder.tokenizer.decode(ids)
    if lost := [text for text in texts if text not in shown]:
        raise UnsupportedTemplate(
            _advice(f"it leaves out {len(lost)} of {parallel_calls} tool answer(s)", parallel_calls)
        )


def _advice(reason: str, parallel_calls: int) -> str:
    return (
        f"The chat template cannot show {parallel_calls} tool answer(s) behind one turn: {reason}. Give a template "
        "that renders messages of role 'tool' as actor_rollout_ref.model.custom_chat_template, or name the family "
        "whose format this one has as actor_rollout_ref.rollout.custom.token_family."
    )
