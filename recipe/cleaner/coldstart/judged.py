"""Run the programs of a model, on a judge of our own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cleartrace.tools import ToolResult, ToolStatus
from cleartrace.tools.code_interpreter import to_tool_result
from code_judge.client import JudgeUnavailable, RunLimits
from code_judge.embedded import EmbeddedJudge
from code_judge.sync_client import SyncJudgeClient

LIMITS = RunLimits(cpu_s=4.0)


@contextmanager
def judged() -> Iterator[Callable[[str], ToolResult]]:
    """What executes a program, from any thread, until the block ends.

    It raises JudgeUnavailable where the service fails, because that is no result of the program.
    """
    with (
        tempfile.TemporaryDirectory() as logs,
        EmbeddedJudge(logs) as judge,
        SyncJudgeClient(judge.url, judge.token) as client,
    ):

        def execute(code: str) -> ToolResult:
            sendable = code.encode(errors="replace").decode()
            result = to_tool_result(code, client.run(sendable, limits=LIMITS))
            if result.status is ToolStatus.INFRA_ERROR:
                raise JudgeUnavailable(result.message)
            return result

        yield execute
