"""What the model is shown of a tool result."""

from __future__ import annotations

import pytest

from cleartrace.tools.render import CUT_MARK, cut_middle, render
from cleartrace.tools.result import ToolResult, ToolStatus


def traceback_of(chars: int) -> str:
    frames = '  File "main.py", line 7, in step\n    step(n - 1)\n' * (chars // 50)
    return f"Traceback (most recent call last):\n{frames}RecursionError: maximum recursion depth exceeded"


@pytest.mark.parametrize("limit", [256, 2048])
def test_d10_the_exception_line_survives_the_cut(limit):
    result = ToolResult(ToolStatus.TIMEOUT, stderr=traceback_of(5000), reason="worker_timeout")
    text = render(result, limit)
    assert text.endswith("RecursionError: maximum recursion depth exceeded")
    assert CUT_MARK in text and "Traceback (most recent call last):" in text
    assert len(text) < limit + 100


@pytest.mark.parametrize("limit", [0, 5, len(CUT_MARK), 60, 100, 200])
def test_a_cut_text_keeps_both_ends_within_the_limit(limit):
    text = "".join(chr(ord("a") + i % 26) for i in range(100))
    cut = cut_middle(text, limit)
    if limit >= len(text):
        assert cut == text
        return
    assert len(cut) <= max(limit, len(CUT_MARK))
    head, tail = cut.split(CUT_MARK)
    assert text.startswith(head) and text.endswith(tail) and len(tail) >= len(head)


def test_a_program_error_names_class_line_message_and_source():
    result = ToolResult(
        ToolStatus.PROGRAM_ERROR,
        stdout="so far\n",
        stderr="a long traceback",
        error_class="NameError",
        message="name 'x' is not defined",
        line=3,
        source_line="  print(x)",
    )
    lines = render(result).splitlines()
    assert lines == [
        "Tool call failure",
        "reason:",
        "stdout: so far",
        "stderr: NameError at line 3: name 'x' is not defined",
        "print(x)",
    ]


def test_a_success_shows_its_warnings():
    assert render(ToolResult(ToolStatus.OK, stdout="3\n", stderr="careful\n")).splitlines() == [
        "Tool call success",
        "stdout: 3",
        "stderr: careful",
    ]
