"""Prompts put together from the sentences of a `Wording`. Pure functions; paragraphs are parted by blank lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cleartrace.data.wording import Wording
from cleartrace.rewards.code.truth import CodeTests, TestKind

SAMPLES = 2
"""So many of the tests are shown in a LiveCodeBench prompt."""

SAMPLE_CHARS = 500
"""A test whose input or output is longer is not shown."""


def paragraphs(parts: Iterable[str]) -> str:
    """Parts that say something, parted by blank lines."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip())


def around_boxed(words: Wording, *, tool: bool, domain: str = "", closing: str = "") -> tuple[list[str], list[str]]:
    """What comes before and after a problem whose answer goes into a box. `closing`: a sentence about the box."""
    before = words.reason_in_domain.replace("{domain}", domain) if domain else words.reason
    finish = words.finish if tool else words.finish_notool
    answer = " ".join(sentence for sentence in (finish, closing) if sentence)
    return [before], [words.tool, words.plan, answer] if tool else [answer]


def boxed(problem: str, words: Wording, *, tool: bool, domain: str = "", closing: str = "") -> str:
    """The prompt of a problem whose answer goes into a box."""
    before, after = around_boxed(words, tool=tool, domain=domain, closing=closing)
    return paragraphs([*before, problem, *after])


def program(problem: str, tests: CodeTests, words: Wording, *, tool: bool) -> str:
    """The prompt of a problem whose answer is a program. The first short tests over stdin are shown as samples."""
    pairs = [(case["input"], case["expected"]) for case in tests.cases] if tests.kind is TestKind.STDIO else []
    shown = [pair for pair in pairs if max(map(len, pair)) <= SAMPLE_CHARS][:SAMPLES]
    samples = [
        paragraphs([f"Sample {number}, input:", fenced(given), "Output:", fenced(wanted)])
        for number, (given, wanted) in enumerate(shown, 1)
    ]
    called = tests.entry_point
    manner = words.call.replace("{name}", called) if called else words.stdin
    task = [words.plan if tool else "", manner, words.check if tool else "", words.fence]
    return paragraphs([words.program, problem, *samples, *task])


def fenced(text: str) -> str:
    """`text` in a Markdown block whose fence is longer than any run of backticks within (D51)."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip(chr(10))}\n{fence}"


def extended(
    messages: list[dict[str, str]], *, before: Iterable[str] = (), after: Iterable[str] = ()
) -> list[dict[str, str]]:
    """The messages, with paragraphs put before the first and after the last message of the user."""
    turns = [i for i, message in enumerate(messages) if message["role"] == "user"]
    if not turns:
        raise ValueError("prompt: there is no message with the role user")
    found = [dict(message) for message in messages]
    found[turns[0]]["content"] = paragraphs([*before, found[turns[0]]["content"]])
    found[turns[-1]]["content"] = paragraphs([found[turns[-1]]["content"], *after])
    return found
