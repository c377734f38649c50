"""The client classes of the published service, by name and call, on the one client.

`max_batch_size` and `max_workers` are accepted; batching is the client's own matter. Every submission has its own
result: what the service could not run comes back with its `reason`, and costs no other one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from dataclasses import dataclass
from typing import Any, Literal

from code_judge.client import AsyncJudgeClient, JudgeUnavailable, RunResult
from code_judge.sync_client import SyncJudgeClient


@dataclass
class Submission:
    sub_id: str | None
    type: Literal["python", "cpp"]
    solution: str
    input: str | None = None
    expected_output: str | None = None


@dataclass
class SubmissionResult:
    sub_id: str
    success: bool
    run_success: bool
    cost: float
    stdout: str | None = None
    stderr: str | None = None
    reason: str = ""


@dataclass
class ServerStatus:
    queue: int
    num_workers: int


def _arguments(one: Submission, timeout: float) -> dict[str, Any]:
    return {
        "code": one.solution, "stdin": one.input, "language": one.type, "expected_output": one.expected_output,
        "deadline_s": timeout,
    }  # fmt: skip


def _result(one: Submission, ran: RunResult) -> SubmissionResult:
    return SubmissionResult(
        one.sub_id or ran.sub_id, ran.success, ran.run_success, ran.cost, ran.stdout, ran.stderr, ran.reason
    )


async def _run(client: AsyncJudgeClient, one: Submission, timeout: float) -> SubmissionResult:
    try:
        return _result(one, await client.run(**_arguments(one, timeout)))
    except JudgeUnavailable:
        return SubmissionResult(one.sub_id or "", False, False, timeout, reason="internal_error")


class JudgeClient:
    """Sends submissions and returns their results, in order."""

    def __init__(
        self, url: str, *, max_batch_size: int = 1000, max_workers: int = 4, timeout: float = 3600,
        token: str | None = None,
    ) -> None:  # fmt: skip
        self._client = SyncJudgeClient(url, token, max_connections=max_workers)
        self._inner = self._client._client
        self._timeout = timeout

    def __enter__(self) -> JudgeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Raises nothing for a client that is closed already."""
        self._client.close()

    def get_status(self, timeout: float = 10) -> ServerStatus:
        """Raises JudgeUnavailable."""
        said = self._client.status()
        return ServerStatus(said["queue"], said["num_workers"])

    def begin(self, one: Submission) -> concurrent.futures.Future[SubmissionResult]:
        """Send one without waiting."""
        return self._client.start(_run(self._inner, one, self._timeout))

    def judge(self, submissions: list[Submission]) -> list[SubmissionResult]:
        """Safe to call from many threads."""
        return [future.result() for future in [self.begin(one) for one in submissions]]


class BufferedJudgeClient(JudgeClient):
    """The same: what many threads ask for at a time travels together."""


class QueuedJudgeClient(JudgeClient):
    """`submit` what is to be run, then `get_results` of all."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._begun: list[tuple[Submission, concurrent.futures.Future[SubmissionResult]]] = []

    def submit(self, submissions: list[Submission]) -> None:
        """Begin them. Raises TypeError for anything but a list."""
        if not isinstance(submissions, list):
            raise TypeError("submissions must be a list")
        self._begun += [(one, self.begin(one)) for one in submissions]

    def get_results(self) -> list[tuple[Submission, SubmissionResult]]:
        """Wait for all that was submitted since the last call; in order."""
        begun, self._begun = self._begun, []
        return [(one, future.result()) for one, future in begun]

    def close(self) -> None:
        """Waits for what was submitted."""
        concurrent.futures.wait([future for _, future in self._begun])
        super().close()


class BufferedAsyncJudgeClient:
    """JudgeClient for an event loop. May be made outside of one."""

    def __init__(
        self, url: str, *, max_batch_size: int = 1000, max_workers: int = 4, timeout: float = 3600,
        token: str | None = None,
    ) -> None:  # fmt: skip
        self._client = AsyncJudgeClient(url, token, max_connections=max_workers)
        self._timeout = timeout
        self._begun: list[tuple[Submission, asyncio.Task[SubmissionResult]]] = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(task for _, task in self._begun))
        await self._client.aclose()

    async def get_status(self, timeout: float = 10) -> ServerStatus:
        """Raises JudgeUnavailable."""
        said = await self._client.status()
        return ServerStatus(said["queue"], said["num_workers"])

    def begin(self, one: Submission) -> asyncio.Task[SubmissionResult]:
        """Send one without waiting."""
        return asyncio.get_running_loop().create_task(_run(self._client, one, self._timeout))

    async def judge(self, submissions: list[Submission]) -> list[SubmissionResult]:
        """Results in order."""
        return list(await asyncio.gather(*(self.begin(one) for one in submissions)))


class QueuedAsyncJudgeClient(BufferedAsyncJudgeClient):
    """`submit` what is to be run, then `get_results` of all."""

    async def submit(self, submissions: list[Submission]) -> None:
        """Begin them. Raises TypeError for anything but a list."""
        if not isinstance(submissions, list):
            raise TypeError("submissions must be a list")
        self._begun += [(one, self.begin(one)) for one in submissions]

    async def get_results(self) -> list[tuple[Submission, SubmissionResult]]:
        """Wait for all that was submitted since the last call; in order."""
        begun, self._begun = self._begun, []
        return [(one, await task) for one, task in begun]
