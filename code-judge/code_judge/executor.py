"""Executes one job on a warm slot: compile step, run or suite, report."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from code_judge.builds import BuildCache
from code_judge.commands import Commands
from code_judge.jobs import Job, Outcome, Report, RunLimits, SuiteKind
from code_judge.languages import LANGUAGES, Compiler
from code_judge.sandbox.kinds import Kind, kind_of
from code_judge.sandbox.levels import Isolation
from code_judge.sandbox.slot import Mode, Request, Slot, SlotLimits, SlotLost
from code_judge.slots import SlotPool
from code_judge.suites import run_asserts, run_calls, run_stdio
from code_judge.verdicts import slot_limits, to_report

log = logging.getLogger(__name__)
_COMPILE = SlotLimits(
    cpu_s=20.0, wall_s=40.0, memory=1536 << 20, output=1 << 20, processes=32, file_size=64 << 20
)  # fmt: skip
_MAX_BINARY = 48 << 20
_TRIES = 2
_CANARIES = {"python": "print(1)", "cpp": '#include <cstdio>\nint main() { std::puts("1"); }'}
_CANARY_LIMITS = RunLimits(cpu_s=10.0, wall_s=30.0, memory_mb=256, output_bytes=1 << 16, output_chars=1000)
MAX_FETCHED = 8 << 20
"""Bytes of all fetched files of one run together."""


class BadCommand(ValueError):
    """A command template names something that does not run programs here."""


@dataclass(frozen=True)
class Executor:
    """What the slots of one supervisor share."""

    slots: SlotPool
    isolation: Isolation
    compiler: Compiler | None
    builds: BuildCache
    commands: Commands = Commands()
    no_compiler: str = "no C++ compiler is installed on this worker"

    async def execute(self, job: Job) -> Report:
        """Run `job`. Failures of this service come back as `infra_error`, never as a verdict."""
        begun, report = time.monotonic(), None
        for attempt in range(1, _TRIES + 1):
            try:
                report = await self._run(job)
                break
            except SlotLost as error:
                detail = f"crash_loop: {attempt} slots were lost on it: {error}"
                report = Report(Outcome.INFRA_ERROR, detail=detail)
            except (OSError, asyncio.TimeoutError) as error:
                report = Report(Outcome.INFRA_ERROR, detail=f"worker: {type(error).__name__}: {error}")
                break
        assert report is not None
        isolation = self.isolation.label_of(self._is_cold(job))
        return replace(report, service_s=time.monotonic() - begun, isolation=isolation)

    def _is_cold(self, job: Job) -> bool:
        """Whether a command of the operator's starts this program."""
        looks_inside = job.echo or (job.suite is not None and job.suite.kind is not SuiteKind.STDIO)
        return job.language in self.commands.cold and not looks_inside

    async def check_commands(self) -> None:
        """Run a trivial program by each command of the operator's. Raises BadCommand."""
        for language in self.commands.cold:
            report = await self.execute(Job("canary", language, _CANARIES[language], None, False, _CANARY_LIMITS))
            if report.outcome is not Outcome.OK or report.stdout.strip() != "1":
                said = report.stderr.strip() or report.detail or f"it printed {report.stdout!r} for 1"
                raise BadCommand(f"the command for {language} does not run a program: {report.outcome.value}: {said}")

    async def with_tried_compiler(self) -> Executor:
        """The same, without a compiler that does not work inside the sandbox: no verdict may rest on one."""
        if self.compiler is None or "cpp" in self.commands.cold:
            return self
        report = await self.execute(Job("canary", "cpp", _CANARIES["cpp"], None, False, _CANARY_LIMITS))
        if report.outcome is Outcome.OK:
            return self
        why = f"{self.compiler.executable} does not work inside the sandbox: {report.stderr.strip() or report.detail}"
        log.error("C++ programs will be refused: %s", why)
        return replace(self, compiler=None, no_compiler=why)

    async def _run(self, job: Job) -> Report:
        if job.language not in LANGUAGES:
            return Report(Outcome.REJECTED, detail=f"no executor for type {job.language!r}")
        if job.suite is not None and job.suite.kind is SuiteKind.ASSERT:
            return await run_asserts(self.slots, job, job.suite)
        warm = job.language == "python" and not self._is_cold(job)
        calls = job.suite is not None and job.suite.kind is SuiteKind.CALL
        least = Kind.STANDARD if calls else Kind.BARE
        async with self.slots.slot(kind_of(job.source, least) if warm else Kind.BARE) as slot:
            if job.suite is not None and calls:
                return await run_calls(slot, job, job.suite)
            request = await self._prepare(slot, job)
            if isinstance(request, Report):
                return request
            if job.suite is not None:
                return await run_stdio(slot, job, job.suite, request)
            stdin = None if job.stdin is None else job.stdin.encode("utf-8", "surrogatepass")
            finished = await slot.run(request(stdin))
            report = to_report(finished, job.limits, slot.work, "main.py" if job.language == "python" else "")
            if job.binary and "\ufffd" in report.stdout:
                report = replace(report, stdout_base64=base64.b64encode(finished.stdout).decode())
            return await self._with_files(slot, job, report) if job.fetch else report

    async def _prepare(self, slot: Slot, job: Job) -> Callable[[bytes | None], Request] | Report:
        """How to run the program on a stdin, or why it cannot be run."""
        source = job.source.encode("utf-8", "surrogatepass")
        files = {name: base64.b64decode(data) for name, data in job.files.items()}
        limits, keep = slot_limits(job.limits), bool(job.fetch)
        if job.language == "python" and self._is_cold(job):
            python = self.slots.host.interpreter.executable
            places = {"PYTHON_EXECUTOR_PATH": python, "source": f"{slot.work}/main.py", "workdir": slot.work}
            argv = self.commands.python.fill(places)
            return lambda stdin: Request(
                Mode.EXECUTE, {**files, "main.py": source}, stdin, limits, argv, keep_files=keep
            )
        if job.language == "python":
            mode = Mode.CELL if job.echo else Mode.PROGRAM
            return lambda stdin: Request(mode, {**files, "main.py": source}, stdin, limits, keep_files=keep)
        binary = await self._build(slot, job, source)
        if isinstance(binary, Report):
            return binary
        argv = self.commands.cpp_execute.fill({"exe": f"{slot.work}/main", "workdir": slot.work})
        return lambda stdin: Request(Mode.EXECUTE, {**files, "main": binary}, stdin, limits, argv, keep_files=keep)

    async def _build(self, slot: Slot, job: Job, source: bytes) -> bytes | Report:
        if self.compiler is None:
            return Report(Outcome.REJECTED, detail=self.no_compiler)
        key, work = self.compiler.key(source), slot.work
        binary = self.builds.get(key)
        if binary is not None:
            return binary
        argv = self.compiler.argv(f"{work}/main.cpp", f"{work}/main", work)
        compiled = await slot.run(Request(Mode.EXECUTE, {"main.cpp": source}, None, _COMPILE, argv, keep_files=True))
        binary = slot.read_file("main", _MAX_BINARY) if compiled.exit_code == 0 else None
        await slot.clean()
        if binary is None or compiled.stopped:
            return replace(to_report(compiled, job.limits, work, ""), outcome=Outcome.COMPILE_ERROR)
        self.builds.put(key, binary)
        return binary

    async def _with_files(self, slot: Slot, job: Job, report: Report) -> Report:
        """Fetch what was asked for, as far as it is there, regular, and within the quota."""
        room, files = MAX_FETCHED, {}
        for name in job.fetch:
            data = slot.read_file(name, room)
            if data is not None and len(data) <= room:
                files[name] = base64.b64encode(data).decode()
                room -= len(data)
        await slot.clean()
        return replace(report, files=files)


def build_cache(run_dir: Path) -> BuildCache:
    """Shared by the worker processes of one host."""
    return BuildCache(run_dir / "builds")
