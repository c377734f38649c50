"""What a run says while it goes: a line for each iteration, and below it what it is doing now."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.status import Status

from cleartrace.learn.rcl.loop import Progress
from cleartrace.learn.rcl.state import Row, State

_PHASES = {
    "run": "running the batch",
    "validate": "validating",
    "reflect": "reflecting",
    "edit": "editing",
    "accept": "testing the edits",
    "remember": "remembering",
}


class ConsoleProgress(Progress):
    """To a terminal; where there is none, the lines alone.

    Args:
        spent: tokens and cost so far, in words; '' where nothing is paid for.
    """

    def __init__(self, console: Console, spent: Callable[[], str] = lambda: "") -> None:
        self._console = console
        self._spent = spent
        self._status: Status | None = Status("starting", console=console) if console.is_terminal else None
        self._last = 0
        self._began = time.monotonic()

    def __enter__(self) -> ConsoleProgress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def begin(self, state: State, iterations: int) -> None:
        self._last = iterations
        if state.iteration:
            self._console.print(f"going on after iteration {state.iteration} of {iterations}", highlight=False)

    def phase(self, iteration: int, name: str) -> None:
        if self._status is not None:
            spent = self._spent()
            self._status.update(
                f"iteration {iteration}/{self._last}: {_PHASES.get(name, name)}" + (f"  {spent}" if spent else "")
            )

    def row(self, row: Row) -> None:
        self._console.print(line_of(row, self._last, self._spent()), highlight=False, markup=False, soft_wrap=True)


def line_of(row: Row, last: int, spent: str = "") -> str:
    """An iteration in a line.

    Example:
        >>> line_of(Row(iteration=2, train_pass=0.5, train_tgc=0.4, runs=10, playbook_size=3, kept=1), 10)
        '2/10  train 0.500 (40 % of 10 runs passed)  playbook 3 entries, 0 tokens, +1 edit'
    """
    train = "train nothing scored"
    if row.train_pass is not None and row.train_tgc is not None:
        train = f"train {row.train_pass:.3f} ({100 * row.train_tgc:.0f} % of {row.runs} runs passed)"
    parts = [f"{row.iteration}/{last}", train]
    if row.unscored:
        parts.append(f"{row.unscored} runs lost")
    if row.val_pass is not None and row.val_tgc is not None:
        parts.append(f"val {row.val_pass:.3f} ({100 * row.val_tgc:.0f} % passed)")
    edits = f"+{row.kept} edit{'s' if row.kept != 1 else ''}"
    parts.append(f"playbook {row.playbook_size} entries, {row.playbook_tokens} tokens, {edits}")
    return "  ".join([*parts, *([spent] if spent else [])])
