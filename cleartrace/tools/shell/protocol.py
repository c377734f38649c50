"""The protocol of mini-swe-agent: one fenced bash block a turn, its output back, and a marker that hands in.

The tags around return code and output are mini-swe-agent's, so that models trained on its trajectories find what they
know; every sentence is our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cleartrace.tools.shell.runtime import CommandResult

MARKERS = ("MINI_SWE_AGENT_FINAL_OUTPUT", "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")
"""First line of the output of a command that hands in; the second is that of newer versions."""
MAX_COMMAND_BYTES = 60_000
_BLOCK = re.compile(r"^[ \t]*```bash[ \t]*\n(?P<command>.*?)\n?^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_OPEN = re.compile(r"^[ \t]*```bash[ \t]*$", re.MULTILINE)
_THOUGHT_END = "</think>"
_THOUGHT_START = "<think>"

SYSTEM_PROMPT = f"""You repair software in a repository, and you work through a shell.

In each turn, write a short thought and then exactly one command block:

```bash
the command
```

The block runs in bash, in the root of the repository, and you are shown its exit status and its output. Every block
runs in a shell of its own: files stay as you leave them, while variables, the working directory and background
processes do not last. There is no network and nobody to answer a prompt, so use no editor or pager that waits for
keys. When the change is complete and checked, hand it in with this command, alone in its block:

```bash
echo {MARKERS[0]} && git add -A && git diff --cached
```

Nothing can be done after that."""

TASK_PROMPT = """Resolve this issue by changing the source files of the repository. Do not change its tests or its \
configuration; other tests, which you cannot see, decide.

{problem}"""


@dataclass(frozen=True)
class Action:
    """The command of a turn, and where its block begins in the text."""

    command: str
    start: int


@dataclass(frozen=True)
class FormatProblem:
    """A turn without a readable command. `message` is what the model is told."""

    message: str
    start: int


def read_action(text: str, *, in_thought: bool = False) -> Action | FormatProblem:
    """The one command of a turn. Blocks inside a thought do not count.

    Args:
        in_thought: the prompt left a thought open, so the turn begins inside it.

    Example:
        >>> read_action("Look around.\\n```bash\\nls -a\\n```")
        Action(command='ls -a', start=13)
    """
    begin = _behind_thought(text, in_thought)
    if begin is None:
        return FormatProblem("Your turn ended inside its thought, before any command block.", 0)
    blocks = list(_BLOCK.finditer(text, begin))
    if not blocks:
        if opened := _OPEN.search(text, begin):
            return FormatProblem("Your command block is not closed by ``` on a line of its own.", opened.start())
        return FormatProblem("Your turn has no command block.", 0)
    start = blocks[0].start()
    if len(blocks) > 1:
        return FormatProblem(f"Your turn has {len(blocks)} command blocks.", start)
    command = blocks[0]["command"]
    if not command.strip():
        return FormatProblem("Your command block is empty.", start)
    if problem := _unusable(command):
        return FormatProblem(problem, start)
    return Action(command, start)


def _unusable(command: str) -> str:
    """Why a command cannot be passed to a shell, '' when it can."""
    try:
        size = len(command.encode())
    except UnicodeEncodeError:
        return "Your command holds bytes that are not UTF-8 text."
    if "\0" in command:
        return "Your command holds a zero byte."
    return f"Your command has more than {MAX_COMMAND_BYTES} bytes." if size > MAX_COMMAND_BYTES else ""


def _behind_thought(text: str, in_thought: bool) -> int | None:
    """Offset behind the last closed thought; None when a thought is still open at the end."""
    closed = text.rfind(_THOUGHT_END)
    begin = closed + len(_THOUGHT_END) if closed >= 0 else 0
    if (in_thought and closed < 0) or text.find(_THOUGHT_START, begin) >= 0:
        return None
    return begin


FORMAT_ADVICE = (
    "Nothing was run. Write a short thought and then exactly one block that begins with ```bash on a line of its own "
    "and ends with ``` on a line of its own; several steps can share one block, joined by && or on lines of their own."
)


def format_reply(problem: str) -> str:
    """What the model is told of a turn that could not be read."""
    return f"{problem} {FORMAT_ADVICE}"


def submission(output: str) -> str | None:
    """What a command handed in: the text behind the marker; None when it handed nothing in.

    Example:
        >>> submission("MINI_SWE_AGENT_FINAL_OUTPUT\\ndiff --git a/x b/x\\n")
        'diff --git a/x b/x\\n'
    """
    first, _, rest = output.lstrip().partition("\n")
    return rest if first.strip() in MARKERS else None


def observation(result: CommandResult, limit: int, timeout_s: float) -> str:
    """What the model is shown of a command: its exit status and at most `limit` characters of its output."""
    code = "none" if result.exit_code is None else str(result.exit_code)
    lines = [f"<returncode>{code}</returncode>"]
    if note := _note(result, timeout_s):
        lines.append(note)
    return "\n".join([*lines, shown_output(result.output, limit)])


def shown_output(output: str, limit: int) -> str:
    """The whole output, or its head and tail in equal shares with the number of characters left out."""
    if len(output) <= limit:
        end = "" if not output or output.endswith("\n") else "\n"
        return f"<output>\n{output}{end}</output>"
    head = limit // 2
    tail = limit - head
    return (
        f"<output_head>\n{output[:head]}\n</output_head>\n"
        f"<elided_chars>{len(output) - limit} characters left out</elided_chars>\n"
        f"<output_tail>\n{output[-tail:]}\n</output_tail>\n"
        "The output was too long to show. Ask for less of it, for example with head, tail, grep or sed -n."
    )


def _note(result: CommandResult, timeout_s: float) -> str:
    if result.stopped in ("wall", "cpu"):
        return f"The command was stopped: it had not ended after {timeout_s:g} seconds."
    if result.stopped:
        return f"The command was stopped: it went over the limit on {result.stopped}."
    return f"The command was ended by signal {result.signal}." if result.signal else ""
