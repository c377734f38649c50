"""One long rollout in the words of a family, and what must hold of its tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from cleartrace_verl.formats import WrittenCall
from cleartrace_verl.tool_parsers import ReadTurn, call_parser
from tests.verl.rollouts import QUESTION, Rolled, Speaker, config_with, roll_out
from tests.verl.templates.families import Family

BAD = "n = bad_NameError(1)\nprint(n)"
FIXED = "n = ok_NameError(1)\nprint(n)"
OTHER = "import math\nfor word in 'xyzzy':\n    print(math.pi * 7, word)"
ODD = "print('naïve — 数 🙂 </think> <tool_call>')  # , . !"
SYSTEM = {"role": "system", "content": "Use Python."}
USER = {"role": "user", "content": QUESTION}


def script(family: Family) -> list[str]:
    """Success, two calls at once, graft, replacement, unreadable call, a call too many, odd characters, answer."""
    says = family.says
    one = [says.turn("First.", ["print('one')"])]
    two = [says.turn("Two.", ["print(1)", "print(2)"])] if says.parallel else []
    graft = [says.turn("Old thought.", [BAD]), says.turn("New thought.", [FIXED])]
    replace = [says.turn("Plan.", [BAD]), says.turn("Another plan.", [OTHER])]
    unreadable = [says.thought("Hm.") + says.broken(), says.turn("Again.", ["print('again')"])]
    many = [says.turn("Three.", ["print(1)", "print(2)", "print(3)"])] if says.parallel else []
    odd = [says.turn("Odd.", [ODD])]
    return [*one, *two, *graft, *replace, *unreadable, *many, *odd, says.answer("Answer: \\boxed{3}")]


def run(
    family: Family,
    turns: Sequence[str],
    speaker: Speaker | None = None,
    *,
    rollback: bool = True,
    response_length: int = 8000,
    max_assistant_turns: int | None = None,
) -> Rolled:
    """Roll out `turns`; the loop's own audit has passed when this returns."""
    limits = {"max_parallel_calls": 2, "max_assistant_turns": max_assistant_turns, "max_user_turns": None}
    config = config_with(
        {"enable": rollback},
        {"format": family.format, **limits},
        response_length=response_length,
        prompt_length=4000,
    )
    config.data.apply_chat_template_kwargs = dict(family.options)
    return roll_out(turns, config=config, speaker=speaker or family.speaker())


def kept_turns(family: Family, rolled: Rolled, tokenizer: Any) -> Iterator[ReadTurn]:
    """The assistant turns of the final trajectory, read again from their tokens."""
    parser = call_parser(tokenizer, family.format, family.options)
    before: list[int] = []
    for sampled, group in groupby(rolled.record.segments, lambda s: s.kind.startswith("assistant_")):
        ids = [i for segment in group for i in segment.token_ids]
        if sampled:
            yield parser.read(ids, prompt_ids=before)
        before.extend(ids)


def check(family: Family, rolled: Rolled, tokenizer: Any) -> None:
    """Invariants 1, 3 and 6 of the specification's section 5.2, on what the engine really saw."""
    output, server = rolled.output, rolled.server
    ids = output.prompt_ids + output.response_ids
    assert server.prompts[-1] + server.sampled[-1] == ids, "the last prompt and action are the trajectory"
    assert len(output.response_mask) == len(output.response_ids) == len(rolled.logprobs)
    segments = [i for s in rolled.record.segments for i in s.token_ids]
    assert segments == ids
    read = [call for turn in kept_turns(family, rolled, tokenizer) for call in turn.calls]
    kept = [(c.code, c.status) for c in rolled.record.tool_calls if c.kept]
    assert [_code(call) for call in read] == [code for code, _ in kept], "reading the tokens again gives the kept calls"
    executed = iter(rolled.executed)
    ran = [code for code, status in kept if status in ("ok", "program_error")]
    assert all(code in executed for code in ran), "what was kept was executed, in that order"


def _code(call: WrittenCall) -> str:
    return call.text if call.error else str((call.arguments or {}).get("code"))


def rerender(family: Family, rolled: Rolled, tokenizer: Any) -> str:
    """How the template's rendering of the finished conversation differs from its tokens; empty: not at all.

    This is what training on messages instead of tokens would have seen.
    """
    messages = conversation(family, rolled, tokenizer)
    try:
        rendered = tokenizer.apply_chat_template(
            messages, tools=rolled.schemas, tokenize=True, return_dict=False, **family.options
        )
    except Exception as error:  # templates raise what they like; that is a finding
        return f"the template refuses it: {error}"
    return _first_difference(rolled.output.prompt_ids + rolled.output.response_ids, list(rendered), tokenizer)


def conversation(family: Family, rolled: Rolled, tokenizer: Any) -> list[dict[str, Any]]:
    """The finished rollout as chat messages."""
    return [SYSTEM, USER, *_messages(family, rolled, tokenizer)]


def _messages(family: Family, rolled: Rolled, tokenizer: Any) -> Iterator[dict[str, Any]]:
    texts = iter([c.text for c in rolled.record.tool_calls if c.kept])
    for turn in kept_turns(family, rolled, tokenizer):
        message = {"role": "assistant", **_content(family, turn.content)}
        ids = [call.call_id or f"call{i:05d}" for i, call in enumerate(turn.calls)]
        if ids:
            message["tool_calls"] = [
                {"id": i, "type": "function", "function": {"name": call.name, "arguments": _arguments(family, call)}}
                for i, call in zip(ids, turn.calls, strict=True)
            ]
        yield message
        yield from ({"role": "tool", "content": next(texts), "tool_call_id": i} for i in ids)


def _content(family: Family, text: str) -> dict[str, str]:
    """Content as a client of the model's API would give it: gpt-oss has its thought in a field of its own."""
    if family.format != "gpt-oss":
        return {"content": text}
    bodies = re.findall(r"<\|channel\|>(\w+)<\|message\|>(.*?)(?:<\|end\|>|$)", text, re.S)
    said = {"thinking" if channel == "analysis" else "content": body for channel, body in bodies}
    return {"content": "", **said}


def _arguments(family: Family, call: WrittenCall) -> Any:
    return json.dumps(call.arguments, ensure_ascii=False) if family.text_arguments else call.arguments


def _first_difference(ours: list[int], other: list[int], tokenizer: Any) -> str:
    kept = ours[:-1]  # the model ends its answer with one of several tokens, a template with one
    if other[: len(kept)] == kept:
        return ""
    place = next((i for i, (a, b) in enumerate(zip(kept, other, strict=False)) if a != b), min(len(kept), len(other)))
    mine, theirs = (tokenizer.decode(ids[max(0, place - 3) : place + 6]) for ids in (ours, other))
    return f"{mine!r} is rendered as {theirs!r}"
