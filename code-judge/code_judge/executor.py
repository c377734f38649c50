"""Executes one job: work directory, compile step, run, report."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from code_judge.isolation import Capabilities, Confinement
from code_judge.jobs import Job, Outcome, Report, RunLimits, text_digest
from code_judge.languages import Plan, clean_environment, plan_for
from code_judge.processes import Finished, ProcessTable, Stopped
from code_judge.settings import Settings
from code_judge.tracebacks import parse_traceback

_COMPILE_LIMITS = RunLimits(cpu_s=20.0, wall_s=40.0, memory_mb=1536, output_bytes=1 << 20, output_chars=0)
_STDERR_TAIL = 1 << 16


@dataclass(frozen=True)
class Executor:
    """What the slots of one supervisor share."""

    settings: Settings
    capabilities: Capabilities
    network_fd: int | None
    base_dir: Path
    table: ProcessTable

    async def execute(self, job: Job, uid: int | None) -> Report:
        """Run `job` under `uid`. Failures of this service come back as `infra_error`, never as a verdict."""
        begun = time.monotonic()
        report = await self._guarded(job, uid if self.capabilities.own_uid else None)
        return replace(report, service_s=time.monotonic() - begun, isolation=self.capabilities.label)

    async def _guarded(self, job: Job, uid: int | None) -> Report:
        try:
            plan = plan_for(job.language, self.settings, job.echo)
        except KeyError:
            return Report(Outcome.REJECTED, detail=f"no executor for type {job.language!r}")
        work_dir = Path(tempfile.mkdtemp(prefix="run-", dir=self.base_dir))
        try:
            return await self._run(job, plan, work_dir, uid)
        except (OSError, subprocess.SubprocessError) as error:
            return Report(Outcome.INFRA_ERROR, detail=f"worker: {type(error).__name__}: {error}")
        finally:
            remove_tree(work_dir)

    async def _run(self, job: Job, plan: Plan, work_dir: Path, uid: int | None) -> Report:
        source = work_dir / plan.source_name
        source.write_bytes(job.source.encode("utf-8", "surrogatepass"))
        if uid is not None:
            os.chown(source, uid, uid)
            os.chown(work_dir, uid, uid)
        env = clean_environment(work_dir)
        if plan.compile is not None:
            limits = replace(_COMPILE_LIMITS, output_chars=job.limits.output_chars)
            compiled = await self.table.run(plan.compile, env, work_dir, None, self._confine(limits, uid))
            if compiled.exit_code != 0 or compiled.stopped:
                return replace(to_report(compiled, limits, work_dir, ""), outcome=Outcome.COMPILE_ERROR)
        stdin = None if job.stdin is None else job.stdin.encode("utf-8", "surrogatepass")
        finished = await self.table.run(plan.run, env, work_dir, stdin, self._confine(job.limits, uid))
        return to_report(finished, job.limits, work_dir, "main.py" if job.language == "python" else "")

    def _confine(self, limits: RunLimits, uid: int | None) -> Confinement:
        return Confinement(limits, uid, self.network_fd, os.getpid())


def outcome_of(finished: Finished, limits: RunLimits) -> Outcome:
    """The verdict without an expected output, from what supervisor and kernel saw."""
    if finished.stopped in (Stopped.CPU, Stopped.WALL):
        return Outcome.TIME_LIMIT
    if finished.stopped is Stopped.OUTPUT:
        return Outcome.OUTPUT_LIMIT
    if finished.exit_code == 0:
        return Outcome.OK
    if finished.signal is not None and finished.cpu_s >= limits.cpu_s:
        return Outcome.TIME_LIMIT
    return Outcome.MEMORY_LIMIT if finished.max_rss_mb >= limits.memory_mb else Outcome.RUNTIME_ERROR


def to_report(finished: Finished, limits: RunLimits, work_dir: Path, python_file: str) -> Report:
    """Describe a finished run. The work directory's random name is cut from stderr: it says nothing about the run."""
    outcome = outcome_of(finished, limits)
    stdout = finished.stdout.decode("utf-8", "replace")
    stderr = finished.stderr.decode("utf-8", "replace").replace(f"{work_dir}/", "")
    failed = python_file and finished.exit_code not in (None, 0)
    error = parse_traceback(stderr[-_STDERR_TAIL:], python_file) if failed else None
    if outcome is Outcome.RUNTIME_ERROR and error is not None and error.error_class == "MemoryError":
        # Between two kinds of failure the program's own word is good enough; neither is rewarded.
        outcome = Outcome.MEMORY_LIMIT
    chars = limits.output_chars
    return Report(
        outcome=outcome,
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


def remove_tree(path: Path) -> None:
    """Remove a work directory whatever modes the run left; links are not followed. Raises OSError when it stays."""
    try:
        shutil.rmtree(path)
    except PermissionError:
        path.chmod(stat.S_IRWXU)
        for root, directories, _ in os.walk(path):
            for name in directories:
                if not os.path.islink(os.path.join(root, name)):
                    os.chmod(os.path.join(root, name), stat.S_IRWXU)
        shutil.rmtree(path)
