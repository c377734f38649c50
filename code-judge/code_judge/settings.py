"""Settings, read once from the environment.

Names without a prefix are those of the published service; `CODE_JUDGE_*` are additions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from code_judge.commands import Commands
from code_judge.sandbox.levels import Level

QUEUE_ENV = "CODE_JUDGE_QUEUE_URL"
LOG_FORMAT = "%(asctime)s %(name)s %(process)d %(levelname)s %(message)s"


@dataclass(frozen=True)
class Settings:
    """Values every part of the service shares. Times in seconds, memory in MiB, sizes as named.

    `commands` are PYTHON_EXECUTE_COMMAND, CPP_COMPILE_COMMAND and CPP_EXECUTE_COMMAND. They run inside the sandbox,
    without a shell, and name programs as a run sees them. A Python command other than the default takes the place of
    the warm interpreter for whole programs: single runs and stdio suites. Call and assert suites, echo and sessions
    go on in the warm interpreter (PYTHON_EXECUTOR_PATH): they look into a program, which no command line can.
    """

    default_cpu_s: float = 10.0
    default_memory_mb: int = 256
    default_output_bytes: int = 1 << 20
    default_processes: int = 64
    response_chars: int = 1000
    max_cpu_s: float = 120.0
    max_wall_s: float = 360.0
    max_memory_mb: int = 4096
    max_output_bytes: int = 16 << 20
    max_processes: int = 256
    queue_life_s: float = 4.0
    long_batch_wait_s: float = 3615.0
    result_ttl_s: int = 60
    long_result_ttl_s: int = 3615
    max_pending: int = 100_000
    max_body_mb: int = 128
    max_suite_s: float = 600.0
    max_sessions: int = 32
    """Open sessions and branches of one worker process."""
    session_idle_s: float = 600.0
    lease_s: float = 4.0
    python: str = sys.executable
    cxx: str = "g++"
    commands: Commands = Commands()
    key_prefix: str = "cj"
    token: str | None = None
    min_isolation: Level = Level.L1
    max_isolation: Level = Level.L3

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read `env` (default: this process's). Raises ValueError naming the variable that cannot be read."""
        source = os.environ if env is None else env

        def number(name: str, default: float) -> float:
            text = source.get(name, "")
            try:
                return float(text) if text else default
            except ValueError:
                raise ValueError(f"environment variable {name} must be a number, got {text!r}") from None

        def level(name: str, default: Level) -> Level:
            try:
                return Level.parse(source[name]) if source.get(name) else default
            except ValueError as error:
                raise ValueError(f"environment variable {name}: {error}") from None

        base = cls()
        cpu_s = number("MAX_EXECUTION_TIME", base.default_cpu_s)
        memory_mb = int(number("MAX_MEMORY", base.default_memory_mb))
        return cls(
            default_cpu_s=cpu_s,
            default_memory_mb=memory_mb,
            response_chars=int(number("MAX_STDOUT_ERROR_LENGTH", base.response_chars)),
            max_cpu_s=max(cpu_s, number("CODE_JUDGE_MAX_CPU_S", base.max_cpu_s)),
            max_wall_s=max(3 * cpu_s, number("CODE_JUDGE_MAX_WALL_S", base.max_wall_s)),
            max_memory_mb=max(memory_mb, int(number("CODE_JUDGE_MAX_MEMORY_MB", base.max_memory_mb))),
            queue_life_s=number("MAX_QUEUE_WORK_LIFE_TIME", base.queue_life_s),
            long_batch_wait_s=number("LONG_BATCH_MAX_QUEUE_WAIT_TIME", base.long_batch_wait_s),
            result_ttl_s=int(number("REDIS_RESULT_EXPIRE", base.result_ttl_s)),
            long_result_ttl_s=int(number("REDIS_RESULT_LONG_BATCH_EXPIRE", base.long_result_ttl_s)),
            max_pending=int(number("CODE_JUDGE_MAX_PENDING", base.max_pending)),
            max_sessions=int(number("CODE_JUDGE_MAX_SESSIONS", base.max_sessions)),
            session_idle_s=number("CODE_JUDGE_SESSION_IDLE_S", base.session_idle_s),
            max_body_mb=int(number("CODE_JUDGE_MAX_BODY_MB", base.max_body_mb)),
            max_suite_s=number("CODE_JUDGE_MAX_SUITE_S", base.max_suite_s),
            lease_s=number("CODE_JUDGE_LEASE_S", base.lease_s),
            python=source.get("PYTHON_EXECUTOR_PATH") or base.python,
            cxx=source.get("CPP_COMPILER_PATH") or base.cxx,
            commands=Commands.from_env(source),
            key_prefix=source.get("REDIS_KEY_PREFIX") or base.key_prefix,
            token=source.get("CODE_JUDGE_TOKEN") or None,
            min_isolation=level("CODE_JUDGE_MIN_ISOLATION", base.min_isolation),
            max_isolation=level("CODE_JUDGE_MAX_ISOLATION", base.max_isolation),
        )
