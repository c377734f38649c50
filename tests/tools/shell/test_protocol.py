"""One command a turn, observations within their limit, the markers that hand in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.tools.result import ToolStatus
from cleartrace.tools.shell.protocol import (
    MARKERS,
    MAX_COMMAND_BYTES,
    SYSTEM_PROMPT,
    Action,
    FormatProblem,
    observation,
    read_action,
    shown_output,
    submission,
)
from cleartrace.tools.shell.runtime import CommandResult


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("```bash\nls\n```", "ls"),
        ("Look.\n\n```bash\ncd a && \\\n  ls\n```\n", "cd a && \\\n  ls"),
        ("```bash  \ncat <<'EOF' > x\n``\nEOF\n```", "cat <<'EOF' > x\n``\nEOF"),
        ("<think>\n```bash\nrm -rf x\n```\n</think>\n```bash\nls\n```", "ls"),
        ("Not ```python``` but\n```bash\nls\n```", "ls"),
    ],
)
def test_one_block_is_the_command(text, command):
    found = read_action(text)
    assert isinstance(found, Action)
    assert found.command == command
    assert text[found.start :].lstrip().startswith("```bash")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("I am done.", "no command block"),
        ("```sh\nls\n```", "no command block"),
        ("```bash\nls", "not closed"),
        ("```bash\n\n```", "empty"),
        ("```bash\nls\n```\n```bash\npwd\n```", "2 command blocks"),
        ("<think>\n```bash\nls\n```", "inside its thought"),
        ("```bash\n" + "x" * (MAX_COMMAND_BYTES + 1) + "\n```", "bytes"),
        ("```bash\nls\0\n```", "zero byte"),
        ("```bash\nls \udcff\n```", "not UTF-8"),
    ],
)
def test_any_other_turn_is_told_what_is_wrong(text, says):
    found = read_action(text)
    assert isinstance(found, FormatProblem)
    assert says in found.message


def test_a_thought_that_the_prompt_opened_must_be_closed_first():
    assert isinstance(read_action("so\n```bash\nls\n```", in_thought=True), FormatProblem)
    assert isinstance(read_action("so</think>\n```bash\nls\n```", in_thought=True), Action)


@pytest.mark.parametrize("marker", MARKERS)
def test_both_markers_hand_in_what_follows_them(marker):
    assert submission(f"\n{marker}\ndiff --git a/x b/x\n") == "diff --git a/x b/x\n"
    assert submission(marker) == ""
    assert submission(f"echo {marker}") is None
    assert submission(f"first\n{marker}\n") is None


def test_the_prompt_names_a_marker_and_shows_a_readable_block():
    assert MARKERS[0] in SYSTEM_PROMPT
    assert isinstance(read_action(SYSTEM_PROMPT[: SYSTEM_PROMPT.index("When the change")]), Action)


@given(st.text(max_size=3000), st.integers(200, 1000))
def test_w_13_5_output_is_cut_to_its_limit_with_head_and_tail(output, limit):
    shown = shown_output(output, limit)
    if len(output) <= limit:
        assert output in shown
        return
    head, tail = output[: limit // 2], output[-(limit - limit // 2) :]
    assert f"<output_head>\n{head}\n</output_head>" in shown and f"<output_tail>\n{tail}\n</output_tail>" in shown
    assert f"{len(output) - limit} characters left out" in shown
    assert len(shown) <= limit + 300


def test_an_observation_says_how_the_command_ended():
    ok = observation(CommandResult(ToolStatus.OK, "out\n", 0), 1000, 180)
    assert ok == "<returncode>0</returncode>\n<output>\nout\n</output>"
    late = observation(CommandResult(ToolStatus.TIMEOUT, "half", stopped="wall"), 1000, 180)
    assert "not ended after 180 seconds" in late and "half" in late
    assert "limit on memory" in observation(CommandResult(ToolStatus.PROGRAM_ERROR, stopped="memory"), 1000, 180)
    assert "signal 11" in observation(CommandResult(ToolStatus.PROGRAM_ERROR, signal=11), 1000, 180)
