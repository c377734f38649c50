"""A complete service as child processes of a training job, on loopback."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from code_judge.client import JudgeUnavailable
from code_judge.sandbox import proctree
from code_judge.sandbox.host import remove_tree

_LOG_TAIL = 3000
_STOP_S = 30.0


class EmbeddedJudge:
    """`with EmbeddedJudge(log_dir=...) as judge:` starts queue, API and workers, and waits for a canary run.

    On exit, and when this process dies in any way, no process and no temporary directory stays. `environment` holds
    settings by the names of their variables.
    """

    def __init__(
        self,
        log_dir: Path | str,
        workers: int = 2,
        start_timeout_s: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self.url = ""
        self.log_file = Path(log_dir) / "code-judge.log"
        self._workers = workers
        self._timeout_s = start_timeout_s
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._run_dir: Path | None = None

    @property
    def pids(self) -> list[int]:
        """The service process first, then its descendants."""
        if self._process is None or self._process.poll() is not None:
            return []
        return [self._process.pid, *proctree.descendants(self._process.pid)]

    @property
    def run_dir(self) -> Path:
        """Sockets and work files. Raises RuntimeError when the service does not run."""
        if self._run_dir is None:
            raise RuntimeError("the judge was not started")
        return self._run_dir

    def __enter__(self) -> EmbeddedJudge:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Raises JudgeUnavailable with the end of the log when the canary does not run in time."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._run_dir = Path(tempfile.mkdtemp(prefix="code-judge-"))
        port_file = self._run_dir / "port"
        command = [sys.executable, "-m", "code_judge", "serve", "--port", "0", "--workers", str(self._workers)]
        command += ["--run-dir", str(self._run_dir), "--port-file", str(port_file), "--parent-pid", str(os.getpid())]
        env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URI", "CODE_JUDGE_QUEUE_URL")}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**env, **self._environment, "CODE_JUDGE_TOKEN": self.token}, start_new_session=True,
            )  # fmt: skip
        try:
            self._await_canary(port_file)
        except BaseException:
            self.stop()
            raise

    def _await_canary(self, port_file: Path) -> None:
        deadline = time.monotonic() + self._timeout_s
        headers = {"Authorization": f"Bearer {self.token}"}
        said = "the service did not open its port"
        with httpx.Client(headers=headers, timeout=10, trust_env=False) as http:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    said = "the service process ended"
                    break
                if port_file.exists() and (port := port_file.read_text()):
                    self.url = f"http://127.0.0.1:{port}"
                    try:
                        answer = http.get(f"{self.url}/healthz")
                        if answer.status_code == 200:
                            return
                        said = f"canary: HTTP {answer.status_code}: {answer.text[:300]}"
                    except httpx.TransportError as error:
                        said = f"{type(error).__name__}: {error}"
                time.sleep(0.05)
        tail = self.log_file.read_text(errors="replace")[-_LOG_TAIL:]
        raise JudgeUnavailable(f"the embedded judge did not start: {said}. End of {self.log_file}:\n{tail}")

    def stop(self) -> None:
        """End everything. Safe to call twice."""
        if self._process is not None:
            family = self.pids
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                for pid in family:
                    with contextlib.suppress(ProcessLookupError):  # already gone
                        os.kill(pid, signal.SIGKILL)
                self._process.wait()
            self._process = None
        if self._run_dir is not None:
            remove_tree(self._run_dir)  # the service has done it, unless it was killed
            self._run_dir = None
