"""Large and odd requests get a verdict or a clear refusal, and cost nobody else anything."""

from __future__ import annotations

import time

import httpx
import pytest


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        (f"x = '{'a' * 10_000_000}'\nprint(len(x))", "ok"),
        ("#" * 10_000_000 + "\nprint(1)", "ok"),
        ("x = [" + "1," * 3_000_000 + "]", "memory_limit"),
        ("(" * 100_000, "runtime_error"),
    ],
    ids=["string", "comment", "tokens", "nesting"],
)
def test_programs_of_ten_megabytes(http: httpx.Client, source: str, outcome: str) -> None:
    row = http.post("/v2/runs", json={"source": source, "limits": {"memory_mb": 256}}).json()
    assert row["outcome"] == outcome, row
    assert http.post("/run", json={"solution": "print(1)"}).json()["stdout"] == "1\n"


def test_a_suite_of_a_hundred_thousand_cases(http: httpx.Client) -> None:
    cases = [{"args": [n], "expected": n} for n in range(100_000)]
    suite = {"kind": "call", "entry_point": "f", "cases": cases, "stop_early": True}
    body = {"source": "def f(n):\n    return n if n < 20 else -1", "suite": suite}
    row = http.post("/v2/runs", json=body).json()
    assert (row["outcome"], row["tests_passed"], row["tests_total"]) == ("wrong_answer", 20, 100_000)
    assert len(row["cases"]) == 100_000 and row["cases"][-1] == {"outcome": "not_run"}


def test_a_batch_of_a_thousand_on_the_short_path(http: httpx.Client) -> None:  # J9: the published one answered 151
    items = [{"solution": f"print({n})"} for n in range(1000)]
    rows = http.post("/run/batch", json={"submissions": items}).json()["results"]
    assert [row["stdout"] for row in rows] == [f"{n}\n" for n in range(1000)]


def test_a_slow_run_on_an_idle_queue_is_not_lost(http: httpx.Client) -> None:  # J28
    begun = time.monotonic()
    row = http.post("/run", json={"solution": "import time; time.sleep(6); print(1)"}).json()
    assert (row["outcome"], row["stdout"]) == ("ok", "1\n") and time.monotonic() - begun < 12


def test_numeric_libraries_are_there_before_the_program(run) -> None:  # J20
    said = run("import sys\nthere = 'numpy' in sys.modules\nimport numpy\nprint(there, numpy.arange(3).sum())")
    assert said["stdout"] == "True 3\n"
