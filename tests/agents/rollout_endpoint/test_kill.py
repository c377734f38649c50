"""`kill -9` of the real command between an invocation and its result: the next start makes it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.loopback import Answer, Loopback
from cleartrace.environments.ruleworld import RuleWorld

pytest.importorskip("starlette")


def start(out: Path) -> tuple[subprocess.Popen[str], str]:
    """The command in a process of its own, and its address."""
    command = [sys.executable, "-m", "cleartrace.cli", "rollout-serve", "ruleworld", "--out", str(out), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "400"})
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert process.stdout is not None
    said = process.stdout.readline()
    watchdog.cancel()
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, said
    return process, found.group()


def test_what_was_accepted_survives_a_kill_and_is_made_once(tmp_path: Path):
    slow = threading.Event()

    def model(asked):
        choice = {"index": 0, "message": {"role": "assistant", "content": "D0"}, "finish_reason": "stop"}
        body = {"id": "1", "object": "chat.completion", "model": "p", "choices": [choice]}
        return Answer(body, delay_s=0.0 if slow.is_set() else 60.0)

    with Loopback(model) as endpoint:
        block = {"exp_id": "e", "input_id": "i", "s3_bucket": "b", "session_id": "s", "model_id": "p"}
        payload = {
            "task_id": RuleWorld().tasks("train")[0].id,
            "_rollout": {**block, "base_url": f"{endpoint.url}/v1"},
        }
        process, url = start(tmp_path)
        try:
            assert httpx.post(f"{url}/invocations", json=payload, timeout=30).json()["status"] == "processing"
            deadline = time.monotonic() + 30
            while not endpoint.asked and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        slow.set()
        process, url = start(tmp_path)
        try:
            found = httpx.get(f"{url}/results/b/e/i/s.json", timeout=30)
            while found.status_code == 202 and time.monotonic() < deadline + 30:
                time.sleep(0.02)
                found = httpx.get(f"{url}/results/b/e/i/s.json", timeout=30)
            assert found.status_code == 200 and found.json()["status_code"] == 200
            again = httpx.post(f"{url}/invocations", json=payload, timeout=30).json()
            assert again["result_key"] == "e/i/s.json" and httpx.get(f"{url}/status").json()["resumed"] == 1
            assert len(endpoint.asked) == 2, "once before the kill, once after it"
        finally:
            process.terminate()
            process.wait(30)
