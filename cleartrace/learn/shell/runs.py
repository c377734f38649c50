"""A shell over runs: what every agent that reflects reads through."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cleartrace.environments.protocol import CallResult
from cleartrace.episodes.types import Episode
from cleartrace.episodes.view import file_view
from cleartrace.learn.shell.shell import Limits, Shell, ShellCall
from cleartrace.llm.protocol import ToolCall, ToolSpec

SHELL = ToolSpec(
    name="shell",
    description="Read files of the attempts with one command.",
    parameters={"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)


class RunShell:
    """A shell over the files of exactly these runs, until it is closed; closing twice does nothing.

    Args:
        scratch, outcomes: see `file_view`.

    Attributes:
        folders: of the runs, in their order.
    """

    def __init__(
        self, episodes: Sequence[Episode], limits: Limits, scratch: Path | None = None, *, outcomes: bool = False
    ) -> None:
        self._opened = ExitStack()
        view = self._opened.enter_context(file_view(episodes, scratch, outcomes=outcomes))
        self.folders = tuple(view.runs)
        self.limits = limits
        self._shell = Shell(view.folder, limits)

    def __enter__(self) -> RunShell:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def help(self) -> str:
        """What an agent is told of the commands."""
        return self._shell.help

    @property
    def log(self) -> tuple[ShellCall, ...]:
        """Every call so far."""
        return tuple(self._shell.log)

    def answer(self, call: ToolCall) -> CallResult:
        """To a call of `SHELL`."""
        command = (call.arguments or {}).get("command")
        if not isinstance(command, str):
            return wrong(call, 'give the command as a string: {"command": "ls"}')
        return CallResult(call_id=call.id, text=self._shell.run(command))

    def close(self) -> None:
        self._opened.close()


def wrong(call: ToolCall, text: str) -> CallResult:
    """A call that cannot be used, and why."""
    return CallResult(call_id=call.id, text=text, is_error=True)
