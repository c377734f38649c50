"""The queue on a Redis-protocol server: a stream with a consumer group, and one state key per job.

A job leaves the stream only together with its result, in one script, so a lost worker loses no job and a late one
cannot answer twice. No clock of a host is compared with another's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from code_judge.jobs import Job, Report

GROUP = "workers"
_QUEUED = b"queued:"
_REPLY_TTL_S = 300

# KEYS: state, stream. ARGV: payload, reply key, state ttl, result ttl.
_ENQUEUE = """
local known = redis.call('GET', KEYS[1])
if known then return known end
local entry = redis.call('XADD', KEYS[2], '*', 'job', ARGV[1], 'reply', ARGV[2], 'state', KEYS[1], 'ttl', ARGV[4])
redis.call('SET', KEYS[1], 'queued:' .. entry, 'EX', ARGV[3])
return 'queued:' .. entry
"""
# KEYS: stream, state, reply. ARGV: group, entry, job id, report, result ttl (0: do not keep), reply ttl.
_FINISH = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
if tonumber(ARGV[5]) > 0 then
  redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[5])
else
  redis.call('DEL', KEYS[2])
end
redis.call('RPUSH', KEYS[3], ARGV[3] .. '\\n' .. ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[6])
return 1
"""
# KEYS: stream, state. ARGV: group, entry. Takes back a job that no worker holds.
_CANCEL = """
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #held > 0 or redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call('DEL', KEYS[2])
return 1
"""


@dataclass(frozen=True)
class Delivery:
    """A leased entry of the stream. `payload` is as found: it may not be a job."""

    entry: str
    payload: bytes
    reply: str
    state: str
    ttl_s: int


@dataclass(frozen=True)
class QueueStatus:
    waiting: int
    running: int
    supervisors: list[dict[str, Any]]


def connect(url: str, max_connections: int = 16) -> Redis:
    """A client whose reply shapes do not depend on the redis-py version."""
    return Redis.from_url(url, protocol=2, max_connections=max_connections, socket_timeout=30, socket_connect_timeout=5)


class Broker:
    """All use of the queue server. Methods raise redis.exceptions.RedisError when it cannot be reached."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self.stream = f"{prefix}:jobs"
        self._supervisors = f"{prefix}:supervisors"
        self._enqueue = redis.register_script(_ENQUEUE)
        self._finish = redis.register_script(_FINISH)
        self._cancel = redis.register_script(_CANCEL)

    async def close(self) -> None:
        await self._redis.aclose()

    def state_key(self, job_id: str) -> str:
        return f"{self._prefix}:job:{job_id}"

    def reply_key(self, reader: str) -> str:
        return f"{self._prefix}:replies:{reader}"

    async def ensure_group(self) -> None:
        """Create stream and group where missing (also after the server lost its data)."""
        try:
            await self._redis.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def enqueue(self, job: Job, reader: str, state_ttl_s: int, result_ttl_s: int) -> str | Report:
        """Queue `job` unless its id is known. Returns its stream entry, or the stored report."""
        value = await self._enqueue(
            keys=[self.state_key(job.id), self.stream],
            args=[job.dumps(), self.reply_key(reader), state_ttl_s, result_ttl_s],
        )
        return _state(cast(bytes, value))

    async def cancel(self, job_id: str, entry: str) -> bool:
        """True when the job was still waiting and is gone now."""
        return bool(await self._cancel(keys=[self.stream, self.state_key(job_id)], args=[GROUP, entry]))

    async def states(self, job_ids: list[str]) -> list[str | Report | None]:
        """Per job its stream entry, its stored report, or None for one the server does not know."""
        values = await self._redis.mget([self.state_key(job_id) for job_id in job_ids])
        return [None if value is None else _state(cast(bytes, value)) for value in values]

    async def replies(self, reader: str, block_s: float) -> list[tuple[str, Report]]:
        """Wait for reports addressed to `reader`; an empty list when none came."""
        key = self.reply_key(reader)
        first = cast("list[bytes] | None", await self._redis.execute_command("BLPOP", key, block_s))
        if not first:
            return []
        rest = cast("list[bytes] | None", await self._redis.execute_command("LPOP", key, 256))
        parts = [text.split(b"\n", 1) for text in [first[1], *(rest or [])]]
        return [(job_id.decode(), Report.loads(report)) for job_id, report in parts]

    async def lease(self, consumer: str, count: int, block_ms: int) -> list[Delivery]:
        """New jobs for `consumer`, waiting up to `block_ms` for the first."""
        answer = await self._redis.execute_command(
            "XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, "BLOCK", block_ms, "STREAMS", self.stream, ">"
        )
        if not answer:
            return []
        streams = list(answer.values()) if isinstance(answer, dict) else [stream[1] for stream in answer]
        return _deliveries(streams[0])

    async def take_over(self, consumer: str, idle_s: float, count: int) -> list[Delivery]:
        """Jobs whose lease ran out. Each take-over counts as a delivery."""
        answer = await self._redis.xautoclaim(
            self.stream, GROUP, consumer, min_idle_time=int(idle_s * 1000), start_id="0-0", count=count
        )
        return _deliveries(answer[1])

    async def deliveries(self, entry: str) -> int:
        """How often this entry was handed to a worker."""
        rows = await self._redis.xpending_range(self.stream, GROUP, min=entry, max=entry, count=1)
        return int(rows[0]["times_delivered"]) if rows else 0

    async def renew(self, consumer: str, entries: list[str]) -> None:
        """Keep the leases of jobs that are being run."""
        if entries:
            await self._redis.xclaim(self.stream, GROUP, consumer, 0, cast("Any", entries), justid=True)

    async def finish(self, delivery: Delivery, job_id: str, report: Report, keep: bool) -> bool:
        """Store and send the report, and drop the job; False when somebody else finished it before."""
        done = await self._finish(
            keys=[self.stream, delivery.state, delivery.reply],
            args=[GROUP, delivery.entry, job_id, report.dumps(), delivery.ttl_s if keep else 0, _REPLY_TTL_S],
        )
        return bool(done)

    async def announce(self, name: str, facts: dict[str, Any], ttl_s: float) -> None:
        """Show a supervisor as alive for `ttl_s`."""
        await self._redis.set(f"{self._supervisors}:{name}", json.dumps(facts), px=int(ttl_s * 1000))
        await self._redis.sadd(self._supervisors, name)

    async def withdraw(self, name: str) -> None:
        """Remove a supervisor that stops; its unfinished jobs go to others when their lease ends."""
        await self._redis.delete(f"{self._supervisors}:{name}")
        await self._redis.srem(self._supervisors, name)

    async def status(self) -> QueueStatus:
        """Queue lengths and live supervisors."""
        names = sorted(cast(bytes, name).decode() for name in await self._redis.smembers(self._supervisors))
        values = await self._redis.mget([f"{self._supervisors}:{name}" for name in names]) if names else []
        dead = [name for name, value in zip(names, values, strict=True) if value is None]
        if dead:
            await self._redis.srem(self._supervisors, *dead)
        pending = await self._redis.xpending(self.stream, GROUP)
        total = int(await self._redis.xlen(self.stream))
        running = int(pending["pending"])
        live = [json.loads(value) for value in values if value is not None]
        return QueueStatus(max(0, total - running), running, live)


def _state(value: bytes) -> str | Report:
    return value[len(_QUEUED) :].decode() if value.startswith(_QUEUED) else Report.loads(value)


def _deliveries(entries: list[Any]) -> list[Delivery]:
    result = []
    for entry, fields in entries:
        if fields is None:  # deleted while pending
            continue
        row = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        result.append(
            Delivery(
                entry=entry.decode(),
                payload=row.get(b"job", b""),
                reply=row.get(b"reply", b"").decode(),
                state=row.get(b"state", b"").decode(),
                ttl_s=int(row.get(b"ttl", b"60")),
            )
        )
    return result
