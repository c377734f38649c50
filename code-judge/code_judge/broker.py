"""The queue on a Redis-protocol server: a stream with a consumer group, and one state key per job.

A job leaves the stream only together with its result, in one script, so a lost worker loses no job and a late one
cannot answer twice. No clock of a host is compared with another's. One trip to the server carries many jobs.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError, ResponseError

from code_judge.jobs import Job, Report

GROUP = "workers"
END_RUN = "end run"
"""What a supervisor is told when nobody waits any more for a job that it runs."""
_QUEUED = b"queued:"
_REPLY_TTL_S = 300

# KEYS: stream, then per job: state, name. ARGV: reply key, longest stream, then per job: payload, state ttl, result
# ttl, whether its name is bound to it.
_ENQUEUE = """
local answers = {}
for i = 2, #KEYS, 2 do
  local at, state, name = 3 + (i - 2) * 2, KEYS[i], KEYS[i + 1]
  local bound = ARGV[at + 3] == '1'
  local other = bound and redis.call('GET', name)
  local known = redis.call('GET', state)
  local answer
  if other and other ~= state then
    answer = 'other'
  elseif known then
    answer = known
  elseif redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then
    answer = 'full'
  else
    local entry = redis.call('XADD', KEYS[1], '*', 'job', ARGV[at], 'reply', ARGV[1], 'state', state,
      'ttl', ARGV[at + 2], 'name', bound and name or '')
    answer = 'queued:' .. entry
    redis.call('SET', state, answer, 'EX', ARGV[at + 1])
    if bound then redis.call('SET', name, state, 'EX', ARGV[at + 1]) end
  end
  answers[i / 2] = answer
end
return answers
"""
# KEYS: stream, then per job: state, reply, name or else state. ARGV: group, reply ttl, then per job: entry, id, report,
# ttl (0: not kept). The name lives as long as the report.
_FINISH = """
local done = 0
for i = 2, #KEYS, 3 do
  local at = 3 + (i - 2) / 3 * 4
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[at]) == 1 then
    redis.call('XDEL', KEYS[1], ARGV[at])
    if tonumber(ARGV[at + 3]) > 0 then
      redis.call('SET', KEYS[i], ARGV[at + 2], 'EX', ARGV[at + 3])
      redis.call('EXPIRE', KEYS[i + 2], ARGV[at + 3])
    else
      redis.call('DEL', KEYS[i], KEYS[i + 2])
    end
    redis.call('RPUSH', KEYS[i + 1], ARGV[at + 1] .. '\\n' .. ARGV[at + 2])
    redis.call('EXPIRE', KEYS[i + 1], ARGV[2])
    done = done + 1
  end
end
return done
"""
# KEYS: stream, state. ARGV: group, start of the keys of calls, what to tell the worker that holds the job, its ttl.
# Takes back a job that no worker holds.
_CANCEL = """
local state = redis.call('GET', KEYS[2])
if not state or string.sub(state, 1, 7) ~= 'queued:' then return 0 end
local entry = string.sub(state, 8)
local held = redis.call('XPENDING', KEYS[1], ARGV[1], entry, entry, 1)
if #held > 0 then
  if ARGV[3] ~= '' then
    local calls = ARGV[2] .. held[1][2]
    redis.call('RPUSH', calls, ARGV[3])
    redis.call('EXPIRE', calls, ARGV[4])
  end
  return 0
end
if redis.call('XDEL', KEYS[1], entry) == 0 then return 0 end
redis.call('DEL', KEYS[2])
return 1
"""
# KEYS: stream, then per job: state. ARGV: group, then per job: entry, payload, reply, ttl, name. For jobs not running.
_GIVE_BACK = """
for i = 2, #KEYS do
  local at = 2 + (i - 2) * 5
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[at]) == 1 then
    redis.call('XDEL', KEYS[1], ARGV[at])
    local entry = redis.call('XADD', KEYS[1], '*', 'job', ARGV[at + 1], 'reply', ARGV[at + 2], 'state', KEYS[i],
      'ttl', ARGV[at + 3], 'name', ARGV[at + 4])
    redis.call('SET', KEYS[i], 'queued:' .. entry, 'KEEPTTL')
  end
end
return 1
"""
# KEYS: stream. ARGV: group, consumer. A consumer that is removed takes along what it holds: only when that is nothing.
_FORGET = """
local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #held == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #held
"""


@dataclass(frozen=True)
class Entry:
    """A job to be queued. `result_ttl_s`: how long its report is kept for the same id.

    `name`: an idempotency key, "" for none. Once it is bound to a job it refuses other ones.
    """

    job: Job
    state_ttl_s: int
    result_ttl_s: int
    name: str = ""


class Refused(str, Enum):
    """Why a job was not queued."""

    FULL = "full"
    OTHER_CONTENT = "other"


@dataclass(frozen=True)
class Delivery:
    """A leased entry of the stream. `payload` is as found: it may not be a job."""

    entry: str
    payload: bytes
    reply: str
    state: str
    ttl_s: int
    name: bytes = b""
    """The key of its idempotency name; empty for none."""


@dataclass(frozen=True)
class Result:
    """What becomes of a delivery. `keep`: the same id is answered with it for a while."""

    delivery: Delivery
    job_id: str
    report: Report
    keep: bool


@dataclass(frozen=True)
class QueueStatus:
    """`supervisors`: what each live one says of itself."""

    waiting: int = 0
    running: int = 0
    supervisors: tuple[dict[str, Any], ...] = ()

    @property
    def slots(self) -> int:
        return sum(row["slots"] for row in self.supervisors)


def connect(url: str, max_connections: int = 16) -> Redis:
    """A client whose reply shapes do not depend on the redis-py version. Whoever finds no free connection waits."""
    pool = BlockingConnectionPool.from_url(
        url, protocol=2, max_connections=max_connections, timeout=30, socket_timeout=30, socket_connect_timeout=5
    )
    return Redis.from_pool(pool)


class Broker:
    """All use of the queue server. Methods raise redis.exceptions.RedisError when it cannot be reached."""

    def __init__(self, redis: Redis, prefix: str, max_waiting: int = 100_000) -> None:
        self._redis = redis
        self._prefix = prefix
        self._max_waiting = max_waiting
        self.stream = f"{prefix}:jobs"
        self._supervisors = f"{prefix}:supervisors"
        self._enqueue = redis.register_script(_ENQUEUE)
        self._finish = redis.register_script(_FINISH)
        self._cancel = redis.register_script(_CANCEL)
        self._give_back = redis.register_script(_GIVE_BACK)
        self._forget = redis.register_script(_FORGET)

    async def close(self) -> None:
        await self._redis.aclose()

    async def answers(self) -> bool:
        """Whether the queue server is there."""
        try:
            return bool(await cast("Awaitable[bool]", self._redis.ping()))
        except (RedisError, OSError):
            return False

    def state_key(self, job_id: str) -> str:
        return f"{self._prefix}:job:{job_id}"

    def reply_key(self, reader: str) -> str:
        return f"{self._prefix}:replies:{reader}"

    def _calls_key(self, supervisor: str) -> str:
        return f"{self._prefix}:calls:{supervisor}"

    async def ensure_group(self) -> None:
        """Create stream and group where missing (also after the server lost its data)."""
        try:
            await self._redis.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def enqueue(self, entries: Sequence[Entry], reader: str) -> list[str | Report | Refused]:
        """Queue jobs whose ids are new. Per job its stream entry, its stored report, or why it was refused."""
        keys, arguments = cast(
            "tuple[list[Any], list[Any]]", ([self.stream], [self.reply_key(reader), self._max_waiting])
        )
        for entry in entries:
            # Keys may hold what UTF-8 cannot.
            name = f"{self._prefix}:name:{entry.name}".encode("utf-8", "surrogatepass")
            keys += [self.state_key(entry.job.id), name]
            arguments += [entry.job.dumps(), entry.state_ttl_s, entry.result_ttl_s, int(bool(entry.name))]
        answers = cast("list[bytes]", await self._enqueue(keys=keys, args=arguments))
        refusals = {refused.value.encode(): refused for refused in Refused}
        return [refusals.get(answer) or _state(answer) for answer in answers]

    async def cancel(self, job_id: str, running: bool = False) -> bool:
        """True when the job was still waiting and is gone now. `running`: otherwise the worker is told to end it."""
        message = json.dumps({"op": END_RUN, "job": job_id}) if running else ""
        arguments = [GROUP, self._calls_key(""), message, _REPLY_TTL_S]
        return bool(await self._cancel(keys=[self.stream, self.state_key(job_id)], args=arguments))

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Queue leased jobs again whose run is not under way."""
        keys, arguments = [self.stream], cast("list[Any]", [GROUP])
        for one in deliveries:
            keys.append(one.state)
            arguments += [one.entry, one.payload, one.reply, one.ttl_s, one.name]
        await self._give_back(keys=keys, args=arguments)

    async def states(self, job_ids: list[str]) -> list[str | Report | None]:
        """Per job its stream entry, its stored report, or None for one the server does not know."""
        values = await self._redis.mget([self.state_key(job_id) for job_id in job_ids])
        return [None if value is None else _state(cast(bytes, value)) for value in values]

    async def replies(self, reader: str, block_s: float) -> list[tuple[str, bytes]]:
        """Wait for messages addressed to `reader`: an id, and what was said."""
        key = self.reply_key(reader)
        first = cast("list[bytes] | None", await self._redis.execute_command("BLPOP", key, block_s))
        if not first:
            return []
        rest = cast("list[bytes] | None", await self._redis.execute_command("LPOP", key, 256))
        parts = [text.split(b"\n", 1) for text in [first[1], *(rest or [])]]
        return [(name.decode(), said) for name, said in parts]

    async def reply(self, reader_key: str, name: str, said: dict[str, Any]) -> None:
        """Send a message to a reader."""
        await self._redis.rpush(reader_key, f"{name}\n{json.dumps(said)}")
        await self._redis.expire(reader_key, _REPLY_TTL_S)

    async def call(self, supervisor: str, message: dict[str, Any]) -> None:
        """Ask one supervisor for something; it replies under the message's `id`."""
        key = self._calls_key(supervisor)
        await self._redis.rpush(key, json.dumps(message))
        await self._redis.expire(key, _REPLY_TTL_S)

    async def calls(self, supervisor: str, block_s: float) -> list[dict[str, Any]]:
        """What this supervisor is asked for."""
        key = self._calls_key(supervisor)
        first = cast("list[bytes] | None", await self._redis.execute_command("BLPOP", key, block_s))
        if not first:
            return []
        rest = cast("list[bytes] | None", await self._redis.execute_command("LPOP", key, 64))
        return [json.loads(text) for text in [first[1], *(rest or [])]]

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

    async def inherit(self, consumer: str, ended: str) -> list[Delivery]:
        """All that a worker held which has ended. Each counts as a delivery."""
        rows = await self._redis.xpending_range(self.stream, GROUP, min="-", max="+", count=1000, consumername=ended)
        ids = cast("Any", [row["message_id"] for row in rows])
        entries = await self._redis.xclaim(self.stream, GROUP, consumer, 0, ids) if ids else []
        await self._forget(keys=[self.stream], args=[GROUP, ended])
        return _deliveries(entries)

    async def deliveries(self, entry: str) -> int:
        """How often this entry was handed to a worker."""
        rows = await self._redis.xpending_range(self.stream, GROUP, min=entry, max=entry, count=1)
        return int(rows[0]["times_delivered"]) if rows else 0

    async def renew(self, consumer: str, entries: list[str]) -> None:
        """Keep the leases of jobs that are held."""
        if entries:
            await self._redis.xclaim(self.stream, GROUP, consumer, 0, cast("Any", entries), justid=True)

    async def finish(self, results: Sequence[Result]) -> int:
        """Store and send reports, and drop their jobs. Returns how many nobody else had finished before."""
        keys, arguments = cast("tuple[list[Any], list[Any]]", ([self.stream], [GROUP, _REPLY_TTL_S]))
        for result in results:
            delivery = result.delivery
            keys += [delivery.state, delivery.reply, delivery.name or delivery.state]
            ttl_s = delivery.ttl_s if result.keep else 0
            arguments += [delivery.entry, result.job_id, result.report.dumps(), ttl_s]
        return int(cast(int, await self._finish(keys=keys, args=arguments)))

    async def announce(self, name: str, facts: dict[str, Any], ttl_s: float) -> None:
        """Show a supervisor as alive for `ttl_s`."""
        await self._redis.set(f"{self._supervisors}:{name}", json.dumps(facts), px=int(ttl_s * 1000))
        await self._redis.sadd(self._supervisors, name)

    async def withdraw(self, name: str) -> None:
        """Remove a supervisor that stops; its unfinished jobs go to others when their lease ends."""
        await self._forget(keys=[self.stream], args=[GROUP, name])
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
        live = tuple(json.loads(value) for value in values if value is not None)
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
                name=row.get(b"name", b""),
            )
        )
    return result
