"""Version 2, SandboxFusion's shape, metrics, and bodies that nobody should send."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import pytest
import redis

from code_judge.api.protocol import SubmissionResult
from code_judge.embedded import EmbeddedJudge
from code_judge.sync_client import SyncJudgeClient
from tests.code_judge import family


@pytest.fixture
def v2(http: httpx.Client):
    def send(source: str, status: int = 200, **more: Any) -> dict[str, Any]:
        answer = http.post("/v2/runs", json={"source": source, **more})
        assert answer.status_code == status, answer.text
        return answer.json()

    return send


def test_a_run_has_the_published_fields_and_more(v2) -> None:
    row = v2("print(int(input()) + 1)", stdin="41", expected_output="42")
    assert (row["success"], row["outcome"], row["stdout"]) == (True, "ok", "42\n")
    assert set(row) <= set(SubmissionResult.model_fields)
    assert v2("print(1)", expected_output="2")["outcome"] == "wrong_answer"


def test_files_go_in_and_come_out(v2) -> None:
    source = (
        "import os\nos.makedirs('out', exist_ok=True)\n"
        "open('out/b.bin', 'wb').write(open('in/a.bin', 'rb').read()[::-1])\n"
        "os.symlink('/etc/passwd', 'link')\nos.symlink('/etc', 'out/folder')\nos.mkfifo('pipe')"
    )
    row = v2(
        source,
        files={"in/a.bin": base64.b64encode(b"\x00\xff1").decode()},
        fetch=["out/b.bin", "missing", "link", "out/folder/passwd", "pipe"],
    )  # C8
    assert row["outcome"] == "ok", row
    assert {name: base64.b64decode(data) for name, data in row["files"].items()} == {"out/b.bin": b"1\xff\x00"}
    assert v2("import os\nprint(sorted(os.listdir()))")["stdout"] == "['main.py']\n"  # nothing is left


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a//b", "main.py", "x\0y"])
def test_names_outside_the_work_directory_are_refused(v2, name: str) -> None:
    assert "detail" in v2("", 422, files={name: ""})
    assert "detail" in v2("", 422, fetch=[name])


def test_binary_output_comes_as_bytes_when_asked(v2) -> None:  # J47
    row = v2("import sys\nsys.stdout.buffer.write(b'\\xff\\x00a')", binary=True)
    assert row["outcome"] == "ok" and base64.b64decode(row["stdout_base64"]) == b"\xff\x00a"
    assert "stdout_base64" not in v2("print('é')", binary=True)


def test_a_suite_reports_each_case(v2) -> None:
    cases = [{"args": [1, 2], "expected": 3}, {"args": [1, 1], "expected": 3}, {"args": [3, 0], "expected": 3}]
    row = v2("def add(a, b): return a + b", suite={"kind": "call", "entry_point": "add", "cases": cases})
    assert [case["outcome"] for case in row["cases"]] == ["ok", "wrong_answer", "ok"]
    assert (row["tests_passed"], row["tests_total"], row["success"], row["outcome"]) == (2, 3, False, "wrong_answer")
    early = {"kind": "assert", "stop_early": True, "cases": [{"code": "assert add(1, 1) == 3"}] * 3}
    assert [c["outcome"] for c in v2("def add(a, b): return a + b", suite=early)["cases"]] == [
        "wrong_answer", "not_run", "not_run",
    ]  # fmt: skip


def test_a_large_suite_is_one_request(v2) -> None:
    cases = [{"args": [n], "expected": n} for n in range(500)]
    row = v2("def f(n): return n", suite={"kind": "call", "entry_point": "f", "cases": cases})
    assert (row["tests_passed"], row["tests_total"]) == (500, 500)


def test_other_content_under_the_same_id_is_409(v2) -> None:  # T8
    first = v2("import os\nprint(os.urandom(8).hex())", sub_id="v2-once")
    assert v2("import os\nprint(os.urandom(8).hex())", sub_id="v2-once")["stdout"] == first["stdout"]
    assert "another content" in v2("print(2)", 409, sub_id="v2-once")["detail"]


def test_unknown_fields_name_themselves(v2) -> None:
    assert v2("", 422, lmits={})["detail"][0]["loc"] == ["body", "lmits"]
    assert v2("", 422, suite={"kind": "call", "cases": [{"args": []}]})["detail"][0]["msg"].endswith("missing")
    assert v2("", 422, suite={"kind": "stdio", "cases": []})


def test_a_batch_streams_each_row_as_it_is_done(http: httpx.Client) -> None:  # J11
    runs = [{"source": "import time; time.sleep(1.5); print(0)"}, {"source": "print(1)"}, {"source": 5}]
    begun, first = time.monotonic(), None
    rows = []
    with http.stream("POST", "/v2/batches", json={"runs": runs}, headers={"Accept": "application/x-ndjson"}) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        for line in answer.iter_lines():
            first = first or time.monotonic() - begun
            rows.append(json.loads(line))
    assert sorted(row["index"] for row in rows) == [0, 1, 2] and rows[-1]["index"] == 0
    assert {row["index"]: row["outcome"] for row in rows} == {0: "ok", 1: "ok", 2: "rejected"}
    assert first is not None and first < 1.0
    whole = http.post("/v2/batches", json={"runs": runs}).json()["results"]
    assert [row["outcome"] for row in whole] == ["ok", "ok", "rejected"]


def test_a_deadline_is_kept(v2) -> None:
    begun = time.monotonic()
    row = v2("import time; time.sleep(20)", deadline_s=0.5)
    assert (row["outcome"], row["reason"]) == ("infra_error", "queue_timeout")
    assert time.monotonic() - begun < 5


def test_sandbox_fusion_clients(http: httpx.Client) -> None:
    body = {"code": "print(open('a').read(), input())\nopen('b', 'w').write('x')", "language": "python", "stdin": "in"}
    body |= {"files": {"a": base64.b64encode(b"file").decode()}, "fetch_files": ["b"], "run_timeout": 5}
    answer = http.post("/run_code", json=body).json()
    assert (answer["status"], answer["run_result"]["stdout"]) == ("Success", "file in\n")
    assert base64.b64decode(answer["files"]["b"]) == b"x"
    late = http.post("/run_code", json={"code": "while True: pass", "run_timeout": 0.3}).json()
    assert (late["status"], late["run_result"]["status"]) == ("Failed", "TimeLimitExceeded")
    assert http.post("/run_code", json={"code": "exit(3)"}).json()["run_result"]["return_code"] == 3
    assert http.post("/run_code", json={"code": "", "language": "cobol"}).json()["status"] == "SandboxError"
    big = http.post("/run_code", json={"code": "print('x' * 200_000)"}).json()
    assert len(big["run_result"]["stdout"]) == 200_001


def test_metrics_name_outcomes_workers_and_isolation(http: httpx.Client, v2) -> None:
    v2("exit(3)")
    text = http.get("/metrics").text
    assert 'judge_results_total{detail="exit",outcome="runtime_error"}' in text
    assert "judge_run_seconds_bucket" in text and "judge_slots_busy" in text
    assert 'judge_isolation_info{by="' in text
    status = http.get("/status").json()
    assert status["level"] in ("L1", "L2", "L3") and status["supervisors"][0]["parts"]["fs"]


def test_the_schema_has_every_endpoint_with_examples(http: httpx.Client) -> None:
    schema = http.get("/openapi.json").json()
    assert {"/run", "/judge/long-batch", "/v2/runs", "/v2/batches", "/v2/sessions", "/run_code"} <= set(schema["paths"])
    body = schema["paths"]["/v2/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["examples"] and "source" in body["properties"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"5", b'{"solution": {}}', b"\xff\xfe", b"[" * 100_000, b'{"solution": NaN}']
)
@pytest.mark.parametrize("path", ["/run", "/run/long-batch", "/v2/runs", "/v2/batches", "/run_code"])
def test_bad_bodies_are_422(http: httpx.Client, path: str, body: bytes) -> None:
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_a_large_program_is_judged(http: httpx.Client) -> None:
    source = "x = 0\n" + "x += 1\n" * 1_400_000  # 10 MB
    answer = http.post("/run", json={"type": "python", "solution": source, "limits": {"memory_mb": 256}})
    assert answer.json()["outcome"] in ("ok", "memory_limit", "time_limit"), answer.json()
    assert http.post("/run", json={"solution": "print(1)"}).json()["outcome"] == "ok"


def test_a_body_beyond_the_cap_is_413(judge) -> None:
    def endless():
        for _ in range(140):
            yield b" " * (1 << 20)

    headers = {"Authorization": f"Bearer {judge.token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=judge.url, headers=headers, timeout=60, trust_env=False) as client:
        assert client.post("/run", content=endless()).status_code == 413
    with httpx.Client(base_url=judge.url, headers=headers, timeout=60, trust_env=False) as client:
        assert client.post("/run", json={"solution": "print(1)"}).json()["outcome"] == "ok"


def test_a_body_of_a_known_size_beyond_the_cap_is_413_too(judge) -> None:
    headers = {"Authorization": f"Bearer {judge.token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=judge.url, headers=headers, timeout=60, trust_env=False) as client:
        assert client.post("/v2/batches", content=b" " * (140 << 20)).status_code == 413


def test_a_batch_of_a_hundred_thousand_bad_items_is_answered(http: httpx.Client) -> None:
    answer = http.post("/run/long-batch", json={"submissions": [None] * 100_000}, timeout=120)
    assert {row["outcome"] for row in answer.json()["results"]} == {"rejected"}
    assert http.post("/run/long-batch", json={"submissions": [None] * 100_001}).status_code == 413


def test_the_token_guards_everything(judge) -> None:
    with httpx.Client(base_url=judge.url, trust_env=False) as stranger:
        for path in ("/v2/runs", "/v2/batches", "/run_code", "/v2/sessions", "/run/long-batch"):
            assert stranger.post(path, json={}).status_code == 401, path
        for path in ("/metrics", "/status", "/healthz"):
            assert stranger.get(path).status_code == 401, path


def test_sessions(http: httpx.Client) -> None:  # T15, 8.19
    made = http.post("/v2/sessions", json={}).json()["session"]

    def cell(code: str, session: str = made, **more: Any) -> dict[str, Any]:
        answer = http.post(f"/v2/sessions/{session}/cells", json={"code": code, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert cell("a = 20\na + 1")["stdout"] == "21\n"
    fork = http.post(f"/v2/sessions/{made}/fork").json()["session"]
    assert cell("a += 1\na")["stdout"] == "21\n"
    assert cell("a", fork)["stdout"] == "20\n"
    broken = cell("a = 99\n1 / 0", rollback=True)
    assert (broken["outcome"], broken["error_class"], broken["error_line"], broken["alive"]) == (
        "runtime_error", "ZeroDivisionError", 2, True,
    )  # fmt: skip
    assert cell("a")["stdout"] == "21\n"
    slow = cell("while True: pass", limits={"cpu_s": 0.3})
    assert (slow["outcome"], slow["alive"]) == ("time_limit", True)
    assert cell("a")["stdout"] == "21\n"
    assert http.post(f"/v2/sessions/{made}/reset").status_code == 200
    assert cell("a")["error_class"] == "NameError"
    dead = cell("import os\nos._exit(3)", fork)
    assert (dead["outcome"], dead["alive"]) == ("runtime_error", False)
    assert "a cell ended it" in http.get(f"/v2/sessions/{fork}").json()["detail"]
    assert http.get(f"/v2/sessions/{made}").json()["cells"] >= 1
    assert http.delete(f"/v2/sessions/{made}").status_code == 200
    gone = http.post(f"/v2/sessions/{made}/cells", json={"code": "1"})
    assert (gone.status_code, gone.json()["detail"]) == (410, "it was closed")
    assert http.get("/v2/sessions/nobody.x").status_code == 410


def test_idle_sessions_end(http: httpx.Client) -> None:
    made = http.post("/v2/sessions", json={"idle_s": 0.2}).json()["session"]
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        time.sleep(2)  # looking would keep it alive
        answer = http.get(f"/v2/sessions/{made}")
        if answer.status_code == 410:
            break
    assert "idle" in answer.json()["detail"]
    while http.get("/status").json()["sessions"] and time.monotonic() < deadline + 5:
        time.sleep(0.2)  # workers say how they are now and then
    assert http.get("/status").json()["sessions"] == 0


def test_results_are_kept_for_those_who_can_ask_again(judge: EmbeddedJudge, http: httpx.Client) -> None:
    """Kept results are the memory of the queue server: an hour only for what waits for the rest of its answer."""
    with redis.Redis.from_url(family.queue_url(judge), protocol=2) as queue:

        def kept(path: str, body: dict, accept: str = "*/*") -> int:
            before = set(queue.keys("cj:job:*"))
            assert http.post(path, json=body, headers={"Accept": accept}).status_code == 200
            (new,) = set(queue.keys("cj:job:*")) - before
            names = [queue.ttl(key) for key in queue.keys("cj:name:kept-*") if queue.get(key) == new]
            assert all(abs(one - queue.ttl(new)) < 5 for one in names) and len(names) == path.startswith("/v2")
            return queue.ttl(new)

        ndjson = "application/x-ndjson"
        assert 0 < kept("/v2/runs", {"source": "1", "sub_id": "kept-1"}) <= 60
        assert 0 < kept("/v2/batches", {"runs": [{"source": "1", "sub_id": "kept-2"}]}, ndjson) <= 60
        assert kept("/v2/batches", {"runs": [{"source": "1", "sub_id": "kept-3"}]}) > 3500
        assert kept("/run/long-batch", {"submissions": [{"solution": "1", "sub_id": "kept-4"}]}) > 3500
        assert 0 < kept("/run/long-batch", {"submissions": [{"solution": "1"}]}) <= 60


def test_files_that_are_in_each_others_way_are_refused(v2) -> None:
    assert "wants it to be a directory" in v2("1", 422, files={"a": "", "a/b": ""})["detail"][0]["msg"]
    assert "the program's own" in v2("1", 422, files={"main.py/x": ""})["detail"][0]["msg"]
    assert v2("print(open('a/b').read(), open('a/c').read())", files={"a/b": "", "a/c": ""})["outcome"] == "ok"


def test_binary_output_reaches_the_client(judge: EmbeddedJudge) -> None:
    with SyncJudgeClient(judge.url, judge.token) as client:
        result = client.run("import sys; sys.stdout.buffer.write(b'\\xff\\x00')", binary=True)
    assert base64.b64decode(result.stdout_base64) == b"\xff\x00"


def test_why_a_suite_was_refused(v2) -> None:
    suite = {"kind": "assert", "cases": [{"code": "class T(C): pass\nassert T().x == 1"}]}
    row = v2("class C: x = 1", suite=suite)
    assert row["outcome"] == "rejected" and row["detail"] == row["cases"][0]["error_message"] != ""


def test_cells_have_the_limits_of_their_session(http: httpx.Client) -> None:
    made = http.post("/v2/sessions", json={"limits": {"cpu_s": 2, "memory_mb": 600}}).json()["session"]
    cells = f"/v2/sessions/{made}/cells"
    assert http.post(cells, json={"code": "len(bytearray(300 << 20))"}).json()["outcome"] == "ok"
    assert http.post(cells, json={"code": "while True: pass"}).json()["outcome"] == "time_limit"
    longer = {"code": "import time\nwhile time.process_time() < 3: pass\n1", "limits": {"cpu_s": 20}}
    assert http.post(cells, json=longer).json()["outcome"] == "ok"
    http.delete(f"/v2/sessions/{made}")


def test_a_session_whose_root_was_killed_is_over(http: httpx.Client) -> None:
    made = http.post("/v2/sessions", json={}).json()["session"]
    http.post(f"/v2/sessions/{made}/cells", json={"code": "import os; os.kill(os.getppid(), 9)"})
    time.sleep(0.3)
    for ask in ("cells", "reset", "fork"):
        answer = http.post(f"/v2/sessions/{made}/{ask}", json={"code": "1"} if ask == "cells" else None)
        assert answer.status_code == 410, answer.text
    assert http.get(f"/v2/sessions/{made}").status_code == 410


def test_a_cell_that_runs_is_not_idle(http: httpx.Client) -> None:
    made = http.post("/v2/sessions", json={"idle_s": 0.5}).json()["session"]
    cell = {"code": "import time\ntime.sleep(4)\n7", "limits": {"wall_s": 30}}
    answer = http.post(f"/v2/sessions/{made}/cells", json=cell)
    assert answer.status_code == 200 and answer.json()["stdout"] == "7\n", answer.text


def test_an_error_that_is_no_text_is_answered(http: httpx.Client) -> None:
    made = http.post("/v2/sessions", json={}).json()
    answer = http.post(f"/v2/sessions/{made['session']}/cells", json={"code": "raise ValueError('\\ud800')"})
    assert (answer.status_code, answer.json()["error_message"]) == (200, "?"), answer.text
    assert made["answer_s"] > 360
    http.delete(f"/v2/sessions/{made['session']}")


def test_a_traceback_with_an_endless_line_number_is_a_failure(v2) -> None:
    line = '  File "main.py", line ' + "9" * 5000 + ", in x\nValueError: x\n"
    row = v2(f"import sys\nsys.stderr.write({line!r})\nsys.exit(1)")
    assert (row["outcome"], row["error_class"]) == ("runtime_error", None)
