"""Executes one job on a warm slot: compile step, run, report."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from code_judge.builds import BuildCache
from code_judge.jobs import Job, Outcome, Report, RunLimits, text_digest
from code_judge.languages import LANGUAGES, Compiler
from code_judge.sandbox.kinds import Kind, kind_of
from code_judge.sandbox.levels import Isolation
from code_judge.sandbox.slot import Finished, Mode, Request, Slot, SlotLimits, SlotLost, Stopped
from code_judge.slots import SlotPool
from code_judge.tracebacks import parse_traceback

_COMPILE = SlotLimits(
    cpu_s=20.0, wall_s=40.0, memory=1536 << 20, output=1 << 20, processes=32, file_size=64 << 20
)  # fmt: skip
_FILE_SIZE = 64 << 20
_STDERR_TAIL = 1 << 16
_MAX_BINARY = 48 << 20


@dataclass(frozen=True)
class Executor:
    """What the slots of one supervisor share."""

    slots: SlotPool
    isolation: Isolation
    compiler: Compiler | None
    builds: BuildCache

    async def execute(self, job: Job) -> Report:
        """Run `job`. Failures of this service come back as `infra_error`, never as a verdict."""
        begun = time.monotonic()
        try:
            report = await self._run(job)
        except (OSError, SlotLost) as error:
            report = Report(Outcome.INFRA_ERROR, detail=f"worker: {type(error).__name__}: {error}")
        return replace(report, service_s=time.monotonic() - begun, isolation=self.isolation.label)

    async def _run(self, job: Job) -> Report:
        if job.language not in LANGUAGES:
            return Report(Outcome.REJECTED, detail=f"no executor for type {job.language!r}")
        source = job.source.encode("utf-8", "surrogatepass")
        kind = kind_of(job.source) if job.language == "python" else Kind.BARE
        async with self.slots.slot(kind) as slot:
            if job.language == "python":
                mode = Mode.CELL if job.echo else Mode.PROGRAM
                request = Request(mode, {"main.py": source}, _stdin(job), _limits(job))
                return to_report(await slot.run(request), job.limits, _work(slot), "main.py")
            return await self._run_cpp(slot, job, source)

    async def _run_cpp(self, slot: Slot, job: Job, source: bytes) -> Report:
        if self.compiler is None:
            return Report(Outcome.REJECTED, detail="no C++ compiler is installed on this worker")
        key, work = self.compiler.key(source), _work(slot)
        binary = self.builds.get(key)
        if binary is None:
            argv = self.compiler.argv(f"{work}/main.cpp", f"{work}/main")
            compiled = await slot.run(
                Request(Mode.EXECUTE, {"main.cpp": source}, None, _COMPILE, argv, keep_files=True)
            )
            binary = slot.read_file("main", _MAX_BINARY) if compiled.exit_code == 0 else None
            await slot.clean()
            if binary is None or compiled.stopped:
                report = to_report(compiled, job.limits, work, "")
                return replace(report, outcome=Outcome.COMPILE_ERROR)
            self.builds.put(key, binary)
        request = Request(Mode.EXECUTE, {"main": binary}, _stdin(job), _limits(job), (f"{work}/main",))
        return to_report(await slot.run(request), job.limits, work, "")


def _work(slot: Slot) -> str:
    return str(slot.config.zygote["work"])


def _stdin(job: Job) -> bytes | None:
    return None if job.stdin is None else job.stdin.encode("utf-8", "surrogatepass")


def _limits(job: Job) -> SlotLimits:
    limits = job.limits
    return SlotLimits(
        cpu_s=limits.cpu_s,
        wall_s=limits.wall_s,
        memory=limits.memory_mb << 20,
        output=limits.output_bytes,
        processes=limits.processes,
        file_size=_FILE_SIZE,
    )


_STOPPED = {
    Stopped.CPU: Outcome.TIME_LIMIT,
    Stopped.WALL: Outcome.TIME_LIMIT,
    Stopped.OUTPUT: Outcome.OUTPUT_LIMIT,
    Stopped.DISK: Outcome.OUTPUT_LIMIT,
    Stopped.MEMORY: Outcome.MEMORY_LIMIT,
    Stopped.PROCESSES: Outcome.PROCESS_LIMIT,
}
# Between two kinds of failure the program's own word is good enough; neither is rewarded.
_ADMITTED = {"MemoryError": Outcome.MEMORY_LIMIT, "BlockingIOError": Outcome.PROCESS_LIMIT}


def outcome_of(finished: Finished, limits: RunLimits) -> Outcome:
    """The verdict without an expected output, from what supervisor and kernel saw."""
    if finished.stopped is not None:
        return _STOPPED[finished.stopped]
    if finished.exit_code == 0:
        return Outcome.OK
    if finished.signal is not None and finished.cpu_s >= limits.cpu_s:
        return Outcome.TIME_LIMIT
    return Outcome.MEMORY_LIMIT if finished.max_rss_mb >= limits.memory_mb else Outcome.RUNTIME_ERROR


def _detail(finished: Finished) -> str:
    """Which limit it was, where an outcome covers two."""
    return finished.stopped.value if finished.stopped is not None else ""


def to_report(finished: Finished, limits: RunLimits, work_dir: str, python_file: str) -> Report:
    """Describe a finished run. The work directory's name is cut from stderr: it says nothing about the run."""
    outcome = outcome_of(finished, limits)
    stdout = finished.stdout.decode("utf-8", "replace")
    stderr = finished.stderr.decode("utf-8", "replace").replace(f"{work_dir}/", "")
    failed = python_file and finished.exit_code not in (None, 0)
    error = parse_traceback(stderr[-_STDERR_TAIL:], python_file) if failed else None
    if outcome is Outcome.RUNTIME_ERROR and error is not None:
        outcome = _ADMITTED.get(error.error_class, outcome)
    chars = limits.output_chars
    return Report(
        outcome=outcome,
        detail=_detail(finished),
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


def build_cache(run_dir: Path) -> BuildCache:
    """Shared by the worker processes of one host."""
    return BuildCache(run_dir / "builds")
