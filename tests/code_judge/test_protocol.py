"""The published endpoints and fields, and the added ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import httpx
import pytest

PUBLISHED = {"sub_id", "success", "run_success", "cost", "reason"}


def test_ping_and_status(http: httpx.Client) -> None:
    assert http.get("/ping").json() == "pong"
    status = http.get("/status").json()
    assert status["queue"] == 0
    assert status["num_workers"] == 2
    assert status["isolation"].startswith(("L1-", "L2-", "L3-"))


def test_healthz_runs_a_canary(http: httpx.Client) -> None:  # J1
    answer = http.get("/healthz")
    assert (answer.status_code, answer.json()["healthy"]) == (200, True)


def test_run_and_judge_fields(run) -> None:
    ran = run("print(input())", input="hi", expected_output="hi ", sub_id="mine")
    assert {"stdout", "stderr"} | PUBLISHED <= set(ran)
    assert (ran["sub_id"], ran["success"], ran["run_success"], ran["reason"]) == ("mine", True, True, "")
    assert ran["stdout"] == "hi\n"
    assert ran["cpu_s"] > 0 and ran["wall_s"] > 0 and ran["queue_s"] >= 0
    judged = run("print(1)", path="/judge", expected_output="2")
    assert set(judged) >= PUBLISHED and "stdout" not in judged and "stderr" not in judged
    assert (judged["success"], judged["run_success"], judged["outcome"]) == (False, True, "wrong_answer")


@pytest.mark.parametrize("path", ["/run/batch", "/judge/batch", "/run/long-batch", "/judge/long-batch"])
def test_batches_keep_order(http: httpx.Client, path: str) -> None:
    items = [{"solution": f"print({n})", "expected_output": str(n), "sub_id": f"{path}{n}"} for n in range(5)]
    body = http.post(path, json={"sub_id": "b", "submissions": items}).json()
    assert body["sub_id"] == "b"
    assert [row["sub_id"] for row in body["results"]] == [item["sub_id"] for item in items]
    assert all(row["success"] for row in body["results"])
    assert ("stdout" in body["results"][0]) == path.startswith("/run")


def test_one_bad_item_fails_alone(http: httpx.Client) -> None:  # D36, J43, J48
    items = [
        {"type": "python", "solution": "print(1)"},
        {"type": "python", "solution": 5},
        {"type": "python", "solution": "print('\ud800')"},
        {"type": "cobol", "solution": ""},
        "not even an object",
        {"type": "python", "solution": "print(2)"},
    ]
    headers = {"Content-Type": "application/json"}
    answer = http.post("/run/long-batch", content=json.dumps({"submissions": items}), headers=headers)
    outcomes = [row["outcome"] for row in answer.json()["results"]]
    assert outcomes == ["ok", "rejected", "runtime_error", "rejected", "rejected", "ok"]
    assert answer.json()["results"][1]["reason"] == "invalid_input"
    assert answer.json()["results"][1]["stdout"] is None


def test_invalid_bodies_are_422(http: httpx.Client) -> None:
    assert http.post("/run", json={"type": "python"}).status_code == 422
    assert http.post("/run/batch", json={"submissions": []}).status_code == 422


def test_math_is_rejected_at_once(run) -> None:  # J4
    answer = run("1+1", type="math")
    assert (answer["outcome"], answer["reason"], answer["run_success"]) == ("rejected", "invalid_input", False)


def test_truncation_is_flagged(run) -> None:  # J6
    answer = run("print('x' * 1000)")
    assert (answer["stdout_truncated"], answer["stdout_bytes"], len(answer["stdout"])) == (True, 1001, 1000)
    whole = run("print('x' * 1000)", limits={"output_chars": 5000})
    assert (whole["stdout_truncated"], len(whole["stdout"])) == (False, 1001)


def test_comparison_uses_the_full_output(run) -> None:
    assert run("print('x' * 5000)", expected_output="x" * 5000)["success"]
    assert not run("print('x' * 5000)", expected_output="x" * 4999)["success"]


def test_limits_of_one_item_stop_only_that_one(http: httpx.Client) -> None:  # J8
    busy = "import time\nwhile time.process_time() < 0.6: pass\nprint('done')"
    items = [{"solution": busy}, {"solution": busy, "options": {"cpu_s": "0.2"}}]
    rows = http.post("/run/long-batch", json={"submissions": items}).json()["results"]
    assert [row["outcome"] for row in rows] == ["ok", "time_limit"]
    assert rows[1]["reason"] == "worker_timeout"


def test_same_sub_id_and_content_runs_once(run) -> None:  # J24, D38
    source = "import os\nprint(os.urandom(8).hex())"
    first, again = run(source, sub_id="once"), run(source, sub_id="once")
    assert first["stdout"] == again["stdout"]
    assert run(source + "\n", sub_id="once")["stdout"] != first["stdout"]


def test_token_is_required(judge) -> None:  # J37
    with httpx.Client(base_url=judge.url, trust_env=False) as stranger:
        assert stranger.get("/status").status_code == 401
        assert stranger.post("/run", json={"type": "python", "solution": ""}).status_code == 401


def test_open_binding_without_token_is_refused() -> None:  # J37
    env = {name: value for name, value in os.environ.items() if name != "CODE_JUDGE_TOKEN"}
    command = [sys.executable, "-m", "code_judge", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "CODE_JUDGE_TOKEN" in done.stderr
