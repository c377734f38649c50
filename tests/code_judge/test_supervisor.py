"""A result that the queue server does not take must not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as LostConnection

from code_judge.broker import Delivery, Result
from code_judge.jobs import Outcome, Report
from code_judge.supervisor import Supervisor


class Server:
    """Takes no result of more than `most` bytes; `there`: whether it answers at all."""

    def __init__(self, most: int, there: bool = True) -> None:
        self.most, self.there = most, there
        self.taken: dict[str, Report] = {}

    async def finish(self, results: Sequence[Result]) -> int:
        if not self.there or any(len(one.report.dumps()) > self.most for one in results):
            raise LostConnection("Broken pipe")
        self.taken |= {one.job_id: one.report for one in results}
        return len(results)

    async def answers(self) -> bool:
        return self.there


def finished(server: Server, *sizes: int) -> Supervisor:
    supervisor = Supervisor(cast(Any, server), cast(Any, None), cast(Any, None), slots=1, lease_s=4, name="w")
    for number, size in enumerate(sizes):
        delivery = Delivery(f"{number}-0", b"", "reply", f"state:{number}", 60)
        supervisor._held[delivery.entry] = delivery
        supervisor._finish(delivery, str(number), Report(Outcome.OK, stdout="x" * size))
    return supervisor


async def tries(supervisor: Supervisor, count: int) -> None:
    for _ in range(count):
        try:
            await asyncio.wait_for(supervisor._deliver(), 1)
        except LostConnection:
            continue
        return


def test_one_that_is_never_taken_is_told_as_lost() -> None:
    server = Server(most=1 << 21)
    supervisor = finished(server, 10, 3 << 20, 20)
    asyncio.run(tries(supervisor, 10))
    assert [server.taken[name].outcome.value for name in ("0", "1", "2")] == ["ok", "infra_error", "ok"]
    assert "could not be sent" in server.taken["1"].detail and not supervisor._held


@pytest.mark.parametrize("server", [Server(0, there=False), Server(100)])
def test_an_outage_and_a_full_server_lose_nothing(server: Server) -> None:
    async def go() -> None:
        supervisor = finished(server, 10 if server.there else 3 << 20)
        await tries(supervisor, 12)
        assert not server.taken
        server.there, server.most = True, 1 << 30
        await tries(supervisor, 1)

    asyncio.run(go())
    assert server.taken["0"].outcome is Outcome.OK
