"""From what supervisor and kernel saw of a run to its verdict. Pure functions."""

from __future__ import annotations

from code_judge.jobs import Outcome, Report, RunLimits, text_digest
from code_judge.sandbox.slot import Finished, SlotLimits, Stopped
from code_judge.tracebacks import parse_traceback

_FILE_SIZE = 64 << 20
_STDERR_TAIL = 1 << 16

STOPPED = {
    Stopped.CPU: Outcome.TIME_LIMIT,
    Stopped.WALL: Outcome.TIME_LIMIT,
    Stopped.OUTPUT: Outcome.OUTPUT_LIMIT,
    Stopped.DISK: Outcome.OUTPUT_LIMIT,
    Stopped.MEMORY: Outcome.MEMORY_LIMIT,
    Stopped.PROCESSES: Outcome.PROCESS_LIMIT,
}
_ADMITTED = {"MemoryError": Outcome.MEMORY_LIMIT, "BlockingIOError": Outcome.PROCESS_LIMIT}


def admitted(error_class: str | None) -> Outcome | None:
    """The limit that an error names. Between two kinds of failure the program's own word is good enough."""
    return _ADMITTED.get(error_class or "")


def slot_limits(limits: RunLimits) -> SlotLimits:
    """A job's limits as a slot takes them."""
    return SlotLimits(
        cpu_s=limits.cpu_s,
        wall_s=limits.wall_s,
        memory=limits.memory_mb << 20,
        output=limits.output_bytes,
        processes=limits.processes,
        file_size=_FILE_SIZE,
    )


def outcome_of(finished: Finished, limits: RunLimits) -> Outcome:
    """The verdict without an expected output."""
    if finished.stopped is not None:
        return STOPPED[finished.stopped]
    if finished.exit_code == 0:
        return Outcome.OK
    if finished.signal is not None and finished.cpu_s >= limits.cpu_s:
        return Outcome.TIME_LIMIT
    return Outcome.MEMORY_LIMIT if finished.max_rss_mb >= limits.memory_mb else Outcome.RUNTIME_ERROR


def _detail(finished: Finished, outcome: Outcome) -> str:
    """Which limit it was, where an outcome covers two; else how the program ended."""
    if finished.stopped is not None:
        return finished.stopped.value
    if outcome is Outcome.RUNTIME_ERROR:
        return "exit" if finished.signal is None else "signal"
    return "cpu" if outcome is Outcome.TIME_LIMIT else ""


def to_report(finished: Finished, limits: RunLimits, work_dir: str, python_file: str) -> Report:
    """Describe a finished run. The work directory's name is cut from stderr: it says nothing about the run."""
    outcome = outcome_of(finished, limits)
    stdout = finished.stdout.decode("utf-8", "replace")
    stderr = finished.stderr.decode("utf-8", "replace").replace(f"{work_dir}/", "")
    failed = python_file and finished.exit_code not in (None, 0)
    error = parse_traceback(stderr[-_STDERR_TAIL:], python_file) if failed else None
    if outcome is Outcome.RUNTIME_ERROR and error is not None:
        outcome = admitted(error.error_class) or outcome
    chars = limits.output_chars
    return Report(
        outcome=outcome,
        detail=_detail(finished, outcome),
        exit_code=finished.exit_code,
        signal=finished.signal,
        cpu_s=finished.cpu_s,
        wall_s=finished.wall_s,
        max_rss_mb=finished.max_rss_mb,
        stdout=stdout[:chars],
        stdout_bytes=finished.stdout_bytes,
        stdout_truncated=len(stdout) > chars or finished.stdout_bytes > len(finished.stdout),
        stdout_digest=text_digest(stdout),
        stderr=stderr[:chars],
        stderr_bytes=finished.stderr_bytes,
        stderr_truncated=len(stderr) > chars or finished.stderr_bytes > len(finished.stderr),
        error_class=error.error_class if error else None,
        error_message=error.message if error else None,
        error_line=error.line if error else None,
    )
