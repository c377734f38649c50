"""Formats that write each argument in a tag of its own, all as text: Qwen3-Coder and GLM."""

from __future__ import annotations

import re

from cleartrace.purify.boundary import alternatives
from cleartrace_verl.formats.tagged import TaggedFormat
from cleartrace_verl.formats.written import Content, Unreadable, expect, skip_space, until

_FUNCTION = "<function="
_BLANKS = 32
"""Characters before `<function=` in which `<tool_call>` and blanks are looked for."""
_OPENS = re.compile(r"<tool_call>\s{0,16}<function=|<function=|<tool_call>")
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>")
_NAME = re.compile(r"([^<>\n]+)>")
_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.S)


def read_qwen_coder(text: str, at: int) -> tuple[list[Content], int]:
    """`<function=name>`, `<parameter=key>` with its value on lines of its own, and the closing tags.

    Models leave `<tool_call>` out at times; that is read too, as this family's own parser does.
    """
    if not text.endswith(_FUNCTION, 0, at):
        raise Unreadable("<function=name> is missing")
    head = text[max(0, at - len(_FUNCTION) - _BLANKS) : at - len(_FUNCTION)]
    bare = not head.rstrip().endswith("<tool_call>")
    name = _NAME.match(text, at)
    if name is None:
        raise Unreadable("<function=name> is not closed")
    at, arguments = skip_space(text, name.end()), {}
    while found := _PARAMETER.match(text, at):
        value, end = until(text, found.end(), "</parameter>")
        arguments[found[1].strip()] = value.removeprefix("\n").removesuffix("\n")
        at = skip_space(text, end)
    at = expect(text, at, "</function>")
    if not bare or text.startswith("</tool_call>", skip_space(text, at)):
        at = expect(text, at, "</tool_call>")
    return [Content(name[1].strip(), arguments, untyped=True)], at


def read_glm(text: str, at: int) -> tuple[list[Content], int]:
    """The tool's name on the first line, then pairs of `<arg_key>` and `<arg_value>`."""
    first = text.find("<arg_key>", at)
    close = text.find("</tool_call>", at)
    if close < 0:
        raise Unreadable("</tool_call> is missing")
    name_end = first if 0 <= first < close else close
    name, arguments, at = text[at:name_end].strip(), {}, name_end
    while found := _PAIR.match(text, at):
        arguments[found[1].strip()] = found[2]
        at = skip_space(text, found.end())
    at = expect(text, at, "</tool_call>")
    if not name or "\n" in name or "{" in name:
        raise Unreadable("expected the tool's name, then <arg_key> and <arg_value> for each argument")
    return [Content(name, arguments, untyped=True)], at


_CLOSE = alternatives(["</tool_call>"])
QWEN_CODER = TaggedFormat("qwen3_coder", _OPENS, read_qwen_coder, _CLOSE)
GLM = TaggedFormat("glm", alternatives(["<tool_call>"]), read_glm, _CLOSE, ends=("<|observation|>",))
