"""Where a shell agent's commands run: the protocol, and what a command and an evaluation give."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from cleartrace.tools.result import Blame, ToolResult, ToolStatus
from cleartrace.tools.shell.task import ShellTask


class SandboxLost(RuntimeError):
    """A sandbox could not be made or is gone, and the model did not do it. Nothing may be learned from the rollout."""


@dataclass(frozen=True)
class CommandResult:
    """One finished command.

    `output` is stdout and stderr in the order they came, as text; `cut` says that it was longer than what is kept.
    `exit_code` is None when the command was stopped at a limit or by a signal; `signal` names that signal.
    """

    status: ToolStatus
    output: str = ""
    exit_code: int | None = None
    signal: int | None = None
    stopped: str = ""
    """The limit that ended the command: `wall`, `cpu`, `memory`, `processes`, `output`, `disk`; '' for none."""
    cut: bool = False
    cost_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status is ToolStatus.OK

    def as_tool_result(self, text: str) -> ToolResult:
        """The house's form; `text` is the observation that the model is shown."""
        if self.ok:
            return ToolResult(self.status, stdout=text, cost_s=self.cost_s)
        name = "timeout" if self.status is ToolStatus.TIMEOUT else f"{self.stopped or 'non_zero'}_exit"
        message = f"the command was stopped: {self.stopped}" if self.stopped else f"exit status {self.exit_code}"
        return ToolResult(self.status, stdout=text, error_class=name, message=message, cost_s=self.cost_s)


def status_of(exit_code: int | None, stopped: str) -> ToolStatus:
    """A command that used up its time is a timeout, any other failure is the program's."""
    if stopped in ("wall", "cpu"):
        return ToolStatus.TIMEOUT
    return ToolStatus.OK if exit_code == 0 and not stopped else ToolStatus.PROGRAM_ERROR


class Verdict(str, Enum):
    """Terminal state of an evaluation."""

    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"
    """Some test that must pass did not."""
    NO_PATCH = "no_patch"
    """Nothing was handed in, or an empty change."""
    PATCH_FAILED = "patch_failed"
    """What was handed in is not a diff that applies to the repository."""
    TIMEOUT = "timeout"
    """The tests ran into their time limit with the model's change."""
    INFRA_ERROR = "infra_error"
    """The tests could not be run. Nothing may be learned from the rollout."""


@dataclass(frozen=True)
class Evaluation:
    """What the hidden tests say of a patch. `outcomes`: pytest's word for each test id that reported."""

    verdict: Verdict
    outcomes: dict[str, str] = field(default_factory=dict)
    detail: str = ""

    @property
    def resolved(self) -> bool:
        return self.verdict is Verdict.RESOLVED

    @property
    def blame(self) -> Blame:
        if self.resolved:
            return Blame.NOBODY
        return Blame.SANDBOX if self.verdict is Verdict.INFRA_ERROR else Blame.MODEL


class Sandbox(Protocol):
    """One repository in one sandbox. Files live on from command to command; processes and variables do not."""

    async def run(self, command: str, timeout_s: float, stdin: bytes = b"") -> CommandResult:
        """Run `command` in bash, in the root of the repository. Raises SandboxLost."""
        ...

    async def close(self) -> None:
        """End every process and remove every file. Safe to call twice."""
        ...


class Runtime(Protocol):
    """Makes sandboxes. A new one holds the repository as it came: `workspace.prepare` makes it the task's."""

    async def open(self, task: ShellTask) -> Sandbox:
        """Raises SandboxLost."""
        ...
