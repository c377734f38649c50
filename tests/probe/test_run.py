"""A whole probe: files, resuming, a kill, the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from make_probe import ROOT, text_pairs, tiny_text_model, tokenizer
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.growing import StoreError
from cleartrace.pairs.files import write_pairs
from cleartrace.probe.names import Mode, Status
from cleartrace.probe.run import MANIFEST, run
from cleartrace.probe.settings import ModelSettings, ProbeSettings
from cleartrace.probe.store import ANSWERS, read_answers

N = 6
PROMPTS = 2 * N + N  # both orders, and one blind prompt each; the swapped ones are their other direction


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_text_model(eos_token_id=tokenizer().eos_token_id).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "pairs.jsonl", text_pairs(N))
    return tmp_path / "pairs.jsonl"


class Server:
    """Says the same letter to everybody, fails when told to, and counts what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.allowed = 10**9
        self.delay_s = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200, {"data": [{"id": "tiny"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if len(outer.prompts) >= outer.allowed:
                    return self.reply(401, {})
                time.sleep(outer.delay_s)
                outer.prompts.append(body["messages"][0]["content"])
                self.reply(200, {"choices": [{"message": {"content": "A"}}]})

            def reply(self, status: int, value: Any) -> None:
                payload = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever, daemon=True)
    thread.start()
    yield found
    found.http.shutdown()
    thread.join(10)
    found.http.server_close()


def settings(data: Path, out: Path, **model: Any) -> ProbeSettings:
    mode = Mode.LOGIT if "model" in model else Mode.GENERATE
    return ProbeSettings(data=(data,), out=out, mode=mode, model=ModelSettings(**model))


def test_a_folder_is_probed_and_the_files_say_what_was_done(model_folder: Path, data: Path, tmp_path: Path) -> None:
    words = ["probe", "--data", str(data), "--model", str(model_folder), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        "answers.jsonl", "manifest.json", "picture.svg", "probe.json", "summary.html", "summary.json",
    }  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    manifest = json.loads((out / MANIFEST).read_text())
    assert summary["overall"]["n"] == N and summary["manifest_sha256"] == manifest["sha256"]
    assert [control["name"] for control in summary["controls"]] == ["blind", "swapped"]
    assert summary["controls"][0]["accuracy"]["value"] == 0.5  # one prompt for both orders, half of them drawn each way
    assert summary["controls"][1]["expected"] == pytest.approx(1 - summary["overall"]["averaged"]["value"])
    page = (out / "summary.html").read_text()
    assert page.count("<svg") == 1 and not re.search(r"(?:src|href)=", page)
    assert len(list(read_answers(out / ANSWERS))) == PROMPTS


def test_generated_letters_of_a_folder(model_folder: Path, data: Path, tmp_path: Path) -> None:
    given = settings(data, tmp_path / "out", model=model_folder).model_copy(update={"mode": Mode.GENERATE})
    whole = run(given).overall
    assert whole.n == N and whole.margin is None and whole.debiased is None
    assert all(len(answer.text) <= 16 for answer in read_answers(tmp_path / "out" / ANSWERS))


def test_w14_what_is_too_long_is_not_cut(model_folder: Path, tmp_path: Path) -> None:
    pairs = text_pairs(4)
    pairs[0] = pairs[0].model_copy(update={"question": "long " * 500})
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    summary = run(settings(tmp_path / "pairs.jsonl", tmp_path / "out", model=model_folder))
    assert (summary.overall.n, summary.too_long) == (3, 1)
    errors = {answer.error for answer in read_answers(tmp_path / "out" / ANSWERS) if answer.status is Status.TOO_LONG}
    assert all("at most 2047 fit" in error for error in errors) and errors


def test_a_second_start_asks_only_what_is_missing(server: Server, data: Path, tmp_path: Path) -> None:
    words = ["probe", "--data", str(data), "--endpoint", server.url, "--mode", "generate", "--patience", "5"]
    words += ["--out", str(tmp_path / "out"), "--concurrency", "1"]
    server.allowed = 5
    stopped = CliRunner().invoke(app, words)
    assert stopped.exit_code == 1 and "the same command goes on" in stopped.output
    server.allowed = 10**9
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(server.prompts) == len(set(server.prompts)) == PROMPTS
    CliRunner().invoke(app, words)
    assert len(server.prompts) == PROMPTS


def test_a_kill_loses_only_what_was_in_flight(server: Server, data: Path, tmp_path: Path) -> None:
    server.delay_s = 0.2
    words = ["--data", str(data), "--endpoint", server.url, "--mode", "generate", "--concurrency", "2"]
    command = [sys.executable, "-m", "cleartrace.cli", "probe", *words, "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    answers = tmp_path / "out" / ANSWERS
    deadline = time.monotonic() + 60
    while not (answers.exists() and answers.read_bytes().count(b"\n") >= 4) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    with answers.open("ab") as file:
        file.write(b'{"prompt": "torn')
    server.delay_s = 0.0
    before = list(server.prompts)
    assert run(settings(data, tmp_path / "out", endpoint=server.url)).overall.n == N
    kept = len(read_keys(answers))
    assert kept == PROMPTS and len(server.prompts) <= PROMPTS + 4  # two in flight, two answered and not yet written
    assert len(before) < PROMPTS


def read_keys(path: Path) -> set[str]:
    return {answer.prompt for answer in read_answers(path)}


def test_answers_of_other_settings_are_not_mixed(server: Server, data: Path, tmp_path: Path) -> None:
    run(settings(data, tmp_path / "out", endpoint=server.url))
    other = settings(data, tmp_path / "out", endpoint=server.url, extra={"seed": 1})
    with pytest.raises(StoreError, match="was begun with other settings"):
        run(other)
    with pytest.raises(StoreError, match="was begun with other settings .manifest"):
        run(settings(data, tmp_path / "out", endpoint=server.url).model_copy(update={"seed": 3}))


def test_the_same_pairs_for_another_model(server: Server, data: Path, tmp_path: Path) -> None:
    run(settings(data, tmp_path / "one", endpoint=server.url).model_copy(update={"per_kind": 4, "seed": 9}))
    manifest = tmp_path / "one" / MANIFEST
    run(settings(data, tmp_path / "two", endpoint=server.url).model_copy(update={"manifest": manifest}))
    assert json.loads((tmp_path / "two" / MANIFEST).read_text()) == json.loads(manifest.read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either --model DIR or --endpoint URL"),
        (["--model", "m", "--letters", "A,A"], "must be two different ones"),
        (["--model", "m", "--extra", "[1]"], "--extra: expected a JSON object"),
        (["--model", "m", "--dtype", "int8"], "dtype: String should match pattern"),
        (["--model", "nowhere"], "no model can be loaded from this folder"),
        (["--model", "m", "--data", "no.jsonl"], "there is no such file"),
    ],
)
def test_bad_options_are_refused(words: list[str], message: str, data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["probe", "--data", str(data), "--out", str(tmp_path / "out"), *words])
    assert done.exit_code == 2 and message in done.output.replace("\n", " ")
