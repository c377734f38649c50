"""The command templates of the published service: "cold command" mode."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from code_judge.commands import COMPILE, Command, Commands
from code_judge.embedded import EmbeddedJudge
from code_judge.languages import Compiler
from code_judge.settings import Settings

TEMPLATES = {
    "PYTHON_EXECUTE_COMMAND": "{PYTHON_EXECUTOR_PATH} -I {source}",
    "CPP_COMPILE_COMMAND": "{CPP_COMPILER_PATH} -O1 -DCOLD=7 -o {exe} {source}",
    "CPP_EXECUTE_COMMAND": "env COLD=8 {exe} 'two words' {workdir}",
}


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with all three templates."""
    with EmbeddedJudge(tmp_path_factory.mktemp("cold-log"), workers=2, environment=TEMPLATES) as judge:
        headers = {"Authorization": f"Bearer {judge.token}"}
        with httpx.Client(base_url=judge.url, headers=headers, timeout=60, trust_env=False) as client:
            yield client


def answer(client: httpx.Client, source: str, path: str = "/run", **more: Any) -> dict[str, Any]:
    reply = client.post(path, json={"type": "python", "solution": source, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize(
    ("source", "stdin"),
    [
        ("print(input()[::-1])", "abc"),
        ("import sys; print(sys.stdin.read())", None),
        ("raise SystemExit(3)", None),
        ("x = 1\ndef f():\n    return y\n\nf()\n", None),
        ("def f(:", None),
        ("import os; os.abort()", None),
        ("while True: pass", None),
        ("x = bytearray(3 << 30)", None),
        ("open('left', 'w').write('x'); import os; print(sorted(os.listdir()))", None),
        ("import atexit; atexit.register(print, 'late'); print(__name__)", None),
    ],
)
def test_a_cold_run_has_the_results_of_a_warm_one(cold, http, source: str, stdin: str | None) -> None:
    sent = {"input": stdin, "limits": {"cpu_s": 0.5, "wall_s": 20}}
    one, other = answer(http, source, **sent), answer(cold, source, **sent)
    measured = {"cost", "cpu_s", "wall_s", "queue_s", "max_rss", "max_rss_mb", "isolation", "sub_id"}
    assert {k: v for k, v in other.items() if k not in measured} == {k: v for k, v in one.items() if k not in measured}
    assert other["isolation"] == f"{one['isolation']}+cold"


def test_the_command_is_what_runs(cold) -> None:
    assert answer(cold, "import sys; print(sys.flags.isolated)")["stdout"] == "1\n"


def test_status_names_cold_languages(cold, http) -> None:
    assert {row["parts"]["cold"] for row in cold.get("/status").json()["supervisors"]} == {"python, cpp"}
    assert not any("cold" in row["parts"] for row in http.get("/status").json()["supervisors"])
    assert 'by="python, cpp"' in cold.get("/metrics").text


def test_what_looks_into_a_program_stays_warm(cold) -> None:
    suite = {"kind": "call", "entry_point": "f", "cases": [{"args": [2], "expected": 3}]}
    for asked in ({"source": "x = 6\nx * 7", "echo": True}, {"source": "def f(x): return x + 1", "suite": suite}):
        reply = cold.post("/v2/runs", json=asked).json()
        assert reply["outcome"] == "ok" and not reply["isolation"].endswith("+cold"), reply
    stdio = {"kind": "stdio", "cases": [{"input": "2", "expected": "3"}]}
    reply = cold.post("/v2/runs", json={"source": "print(int(input()) + 1)", "suite": stdio}).json()
    assert reply["outcome"] == "ok" and reply["isolation"].endswith("+cold"), reply


def test_the_sandbox_holds_cold_programs(cold) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)\nprint('out')"
        for source in ("print(open('/etc/shadow').read())", reach):
            done = answer(cold, source)
            assert done["outcome"] == "runtime_error" and done["stdout"] == "", done


@pytest.mark.skipif(Compiler.find("g++") is None, reason="no C++ compiler")
def test_cpp_templates(cold) -> None:
    source = (
        "#include <cstdio>\n#include <cstdlib>\n"
        'int main(int n, char **v) { std::printf("%d %s %d %s", COLD, std::getenv("COLD"), n, v[1]); }'
    )
    done = answer(cold, source, type="cpp")
    assert done["stdout"] == "7 8 3 two words", done
    assert done["isolation"].endswith("+cold")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PYTHON_EXECUTE_COMMAND", "python3 {sorce}"),
        ("PYTHON_EXECUTE_COMMAND", "python3 {source"),
        ("PYTHON_EXECUTE_COMMAND", "python3 {source!r}"),
        ("PYTHON_EXECUTE_COMMAND", "python3 {}"),
        ("PYTHON_EXECUTE_COMMAND", "python3 '{source}"),
        ("PYTHON_EXECUTE_COMMAND", " "),
        ("PYTHON_EXECUTE_COMMAND", "{exe}"),
        ("CPP_COMPILE_COMMAND", "g++ {PYTHON_EXECUTOR_PATH}"),
        ("CPP_EXECUTE_COMMAND", "{exe.__class__}"),
    ],
)
def test_a_bad_template_is_named(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"environment variable {name}: "):
        Settings.from_env({name: text})


def test_defaults_are_not_cold() -> None:
    spelled_out = {
        "PYTHON_EXECUTE_COMMAND": "{PYTHON_EXECUTOR_PATH} {source}",
        "CPP_COMPILE_COMMAND": "{CPP_COMPILER_PATH} -O2  -o {exe} {source}",
        "CPP_EXECUTE_COMMAND": "",
    }
    assert Settings.from_env(spelled_out).commands == Settings.from_env({}).commands == Commands()
    assert Commands().cold == ()
    assert Commands.from_env({"CPP_EXECUTE_COMMAND": "nice {exe}"}).cold == ("cpp",)


def test_places_stay_one_word_and_make_the_key() -> None:
    command = Command.parse("cc -o {exe} {source} '{{x}}'", ("exe", "source"))
    assert command.fill({"exe": "a b", "source": "$(c)"}) == ("cc", "-o", "a b", "$(c)", "{x}")
    keys = {Compiler("/usr/bin/g++", "1", given).key(b"source") for given in (COMPILE, command)}
    assert len(keys) == 2


def test_a_command_that_runs_nothing_refuses_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_EXECUTE_COMMAND", "no-such-python {source}")
    command = [sys.executable, "-m", "code_judge", "serve", "--port", "0", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "the command for python does not run a program: runtime_error: no-such-python" in done.stderr
