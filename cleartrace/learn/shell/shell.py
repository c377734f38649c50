"""The shell: a line in, a reply out, within budgets. A line that is refused gets a reason and never raises."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cleartrace.episodes.types import Record
from cleartrace.learn.shell.commands import COMMANDS, HELP
from cleartrace.learn.shell.files import Files
from cleartrace.learn.shell.output import Full, Output, TooLong
from cleartrace.learn.shell.words import Refused, words


class Ended(str, Enum):
    """How a call ended."""

    OK = "ok"
    CUT = "cut"
    REFUSED = "refused"
    TOO_LONG = "too_long"
    SPENT = "spent"


class ShellCall(Record):
    """One call as it is logged in the record of a reflection. `bytes`: of the reply, UTF-8."""

    line: str
    ended: Ended
    bytes: int
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Limits:
    """Of one agent's work.

    Args:
        call_bytes: of one reply, notes not counted.
        calls, total_bytes: of all calls together.
        call_seconds: after which a call is stopped.
    """

    call_bytes: int = 12_000
    calls: int = 60
    total_bytes: int = 400_000
    call_seconds: float = 5.0

    def __post_init__(self) -> None:
        if min(self.call_bytes, self.calls, self.total_bytes, self.call_seconds) <= 0:
            raise ValueError(f"every limit of a shell is positive, got {self}")


class Shell:
    """Reads files below `root`, and nothing else. Not for use by several threads at once."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self.files = Files(root)
        self.limits = limits or Limits()
        self.log: list[ShellCall] = []

    @property
    def help(self) -> str:
        """What an agent is told of it."""
        return HELP

    @property
    def bytes_left(self) -> int:
        return self.limits.total_bytes - sum(call.bytes for call in self.log)

    def run(self, line: str) -> str:
        """The reply to one line, for the agent to read."""
        begun = time.monotonic()
        ended, text, reason = self._run(line, begun)
        size = len(text.encode("utf-8", "replace"))
        seconds = time.monotonic() - begun
        self.log.append(ShellCall(line=line[:500], ended=ended, bytes=size, seconds=seconds, reason=reason))
        return "\n".join(filter(None, (text, f"[{reason}]" if reason else ""))) or "[nothing]"

    def _run(self, line: str, begun: float) -> tuple[Ended, str, str]:
        if len(self.log) >= self.limits.calls:
            return Ended.SPENT, "", f"all {self.limits.calls} calls are used; write your findings now"
        if self.bytes_left <= 0:
            return Ended.SPENT, "", f"all {self.limits.total_bytes} bytes are read; write your findings now"
        out = Output(min(self.limits.call_bytes, self.bytes_left), begun + self.limits.call_seconds)
        ended, reason = Ended.OK, ""
        try:
            name, *arguments = words(line)
            if name.text not in COMMANDS:
                raise Refused(f"there is no command {name.text!r}; there are {', '.join(COMMANDS)}")
            COMMANDS[name.text](arguments, self.files, out)
        except Refused as refusal:
            ended, reason = Ended.REFUSED, f"refused: {refusal}"
        except Full:
            more = f"; line {out.next_line} comes next" if out.next_line is not None else ""
            ended, reason = Ended.CUT, f"cut at {out.limit} bytes{more}; ask for a part, as in sed -n '1,80p' FILE"
        except TooLong:
            ended, reason = Ended.TOO_LONG, f"stopped after {self.limits.call_seconds:g} s; ask for less"
        except (OSError, RecursionError) as error:
            ended, reason = Ended.REFUSED, f"refused: {getattr(error, 'strerror', None) or 'folders too deep'}"
        return ended, "\n".join(out.lines), reason
