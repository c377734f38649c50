"""Formats whose calls stand behind a marker: most of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cleartrace.purify.boundary import Thought, alternatives, first_call
from cleartrace_verl.formats.written import (
    Content,
    Reader,
    Unreadable,
    WrittenCall,
    content_of,
    expect,
    read_json,
    skip_space,
    until,
)

THINK = Thought()
# DeepSeek's markers use a full-width bar and a low block in place of a bar and blanks.
CALLS_BEGIN, CALL_BEGIN = "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"
SEPARATOR, CALL_END = "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"


@dataclass(frozen=True)
class TaggedFormat:
    """Calls that begin with `opens` and, in most formats, end with `closes`."""

    name: str
    opens: re.Pattern[str]
    read: Reader
    closes: re.Pattern[str] | None = None
    thought: Thought | None = THINK
    ends: tuple[str, ...] = ()

    def calls(self, text: str, *, in_thought: bool = False) -> tuple[WrittenCall, ...]:
        return tuple(self._calls(text, in_thought))

    def _calls(self, text: str, in_thought: bool) -> Iterator[WrittenCall]:
        found = first_call(text, self.opens, self.closes, thought=self.thought, in_thought=in_thought)
        while found is not None:
            start = found.start()
            try:
                contents, end = self.read(text, found.end())
            except Unreadable as error:
                end = self._resume(text, found)
                yield WrittenCall(start, text[start:end], error=str(error))
            else:
                for content in contents:
                    yield _written(start, text[start:end], content)
            found = self.opens.search(text, end)

    def _resume(self, text: str, opened: re.Match[str]) -> int:
        """Where an unreadable call ends: behind its closing marker, or before the next call if that comes first."""
        close = self.closes.search(text, opened.end()) if self.closes else None
        following = self.opens.search(text, max(opened.end(), opened.start() + 1))  # a marker may be empty
        ends = [close.end()] if close else []
        ends += [following.start()] if following else []
        return min(ends, default=len(text))


def _written(start: int, text: str, content: Content) -> WrittenCall:
    return WrittenCall(start, text, content.name, content.arguments, content.call_id, untyped=content.untyped)


def read_hermes(text: str, at: int) -> tuple[list[Content], int]:
    value, end = read_json(text, at)
    end = expect(text, end, "</tool_call>")
    return [content_of(value)], end


def read_list(text: str, at: int, closing: str) -> tuple[list[Content], int]:
    """A JSON list of calls, with `closing` behind it unless that is empty."""
    value, end = read_json(text, at)
    if not isinstance(value, list) or not value:
        raise Unreadable("expected a JSON list of calls")
    end = expect(text, end, closing) if closing else end
    return [content_of(item, ("arguments", "parameters")) for item in value], end


def read_phi(text: str, at: int) -> tuple[list[Content], int]:
    return read_list(text, at, "<|/tool_call|>")


def read_mistral(text: str, at: int) -> tuple[list[Content], int]:
    """`[TOOL_CALLS][{...}]` (Nemo, Small 3.1, Ministral 2410) or `[TOOL_CALLS]name[ARGS]{...}` (later ones)."""
    at = skip_space(text, at)
    if text.startswith(("[", "{"), at):
        return read_list(text, at, "")
    head, at = until(text, at, "[ARGS]")
    name, _, call_id = head.partition("[CALL_ID]")
    value, end = read_json(text, at)
    content = content_of({"name": name.strip(), "arguments": value})
    return [replace(content, call_id=call_id.strip() or None)], end


def read_llama(text: str, at: int) -> tuple[list[Content], int]:
    """`{"name": ..., "parameters": {...}}`, several separated by semicolons."""
    contents = []
    while True:
        value, at = read_json(text, at)
        contents.append(content_of(value, ("parameters", "arguments")))
        following = skip_space(text, at)
        if text.startswith("{", following):
            raise Unreadable("two JSON objects stand side by side; separate calls by a semicolon")
        if not text.startswith(";", following):
            return contents, at
        at = following + 1


def read_deepseek(text: str, at: int) -> tuple[list[Content], int]:
    """`function<sep>name`, then the arguments in a JSON fence (V3, R1); or `name<sep>{...}` (V3.1)."""
    name, at = until(text, at, SEPARATOR)
    fenced = name.strip() == "function" and not text.startswith("{", skip_space(text, at))
    if fenced:
        name, at = until(text, at, "```json")
    if CALL_END in name:
        raise Unreadable("it ends before its arguments")
    value, end = read_json(text, at)
    end = expect(text, end, "```") if fenced else end
    end = expect(text, end, CALL_END)
    return [content_of({"name": name.strip(), "arguments": value})], end


HERMES = TaggedFormat("hermes", alternatives(["<tool_call>"]), read_hermes, alternatives(["</tool_call>"]))
PHI = TaggedFormat(
    "phi4_mini", alternatives(["<|tool_call|>"]), read_phi, alternatives(["<|/tool_call|>"]), ends=("<|end|>",)
)
MISTRAL = TaggedFormat("mistral", alternatives(["[TOOL_CALLS]"]), read_mistral, thought=Thought("[THINK]", "[/THINK]"))
# A bare object opens a call only at the start of a turn: an answer may hold braces anywhere else.
LLAMA = TaggedFormat(
    "llama3_json",
    re.compile(r"<\|python_tag\|>|\A\s*(?=\{\s*[\"'])"),
    read_llama,
    thought=None,
    ends=("<|eom_id|>", "<|eot_id|>"),
)
DEEPSEEK = TaggedFormat(
    "deepseek_v3",
    re.compile(rf"(?:{CALLS_BEGIN}\s*)?{CALL_BEGIN}"),
    read_deepseek,
    alternatives([CALL_END]),
)
