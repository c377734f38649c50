"""The commands as a user runs them; models are a stand-in server on loopback."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image
from typer.testing import CliRunner

from cleartrace.pairs.cli import app
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.mine.images.api import png

RUN = CliRunner()


@pytest.fixture
def collection(tmp_path):
    done = RUN.invoke(app, ["make", "scenes", str(tmp_path / "q.jsonl"), "--scenes", "60", "--collection"])
    assert done.exit_code == 0, done.output
    return tmp_path / "q.jsonl"


@pytest.fixture
def server():
    """Plans a blue picture, paints it, finds it good, and judges every match as valid; embeds by length of request."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer({"data": [{"id": "seer"}]})

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            if self.path == "/v1/images/edits":
                picture = base64.b64encode(png(Image.new("RGB", (224, 224), "blue"))).decode()
                return self._answer({"data": [{"b64_json": picture}]})
            if self.path == "/v1/embeddings":
                return self._answer({"data": [{"embedding": [1.0, len(body) % 100 / 1000]}]})
            text = json.loads(body)["messages"][0]["content"][-1]["text"]
            if text.startswith("You plan"):
                reply = {"instruction": "Paint all blue.", "answer": "nothing at all", "box": None}
            else:
                reply = {"failed": []} if text.startswith("Picture 1") else {"label": "VALID", "reason": ""}
            return self._answer({"choices": [{"message": {"content": json.dumps(reply)}}]})

        def _answer(self, value):
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    running.server_close()


def test_scenes_to_pairs(tmp_path):
    command = ["make", "scenes", str(tmp_path / "p.jsonl"), "--scenes", "6", "--domain", "chart", "--domain", "natural"]
    done = RUN.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "kept       6" in done.output
    pairs = read_pairs(tmp_path / "p.jsonl")
    assert {pair.source.split("/")[1] for pair in pairs} == {"chart", "natural"}


def test_a_collection_is_mined_without_any_model(collection, tmp_path):
    done = RUN.invoke(app, ["mine-images", str(collection), str(tmp_path / "m.jsonl"), "--cap", "1"])
    assert done.exit_code == 0, done.output
    assert read_pairs(tmp_path / "m.jsonl")
    assert "judged_valid" not in done.output


def test_models_embed_and_judge(collection, tmp_path, server):
    url, asked = server
    out = tmp_path / "m.jsonl"
    command = ["mine-images", str(collection), str(out), "--embeddings", url, "--chat", url, "--components", "0"]
    done = RUN.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert asked.count("/v1/embeddings") == 60
    assert asked.count("/v1/chat/completions") * 2 == len(read_pairs(out)) > 0


def test_models_edit_and_verify(collection, tmp_path, server):
    url, asked = server
    command = ["edit-images", str(collection), str(tmp_path / "e.jsonl"), "--chat", url, "--images", url]
    done = RUN.invoke(app, [*command, "--image-model", "painter"])
    assert done.exit_code == 0, done.output
    assert (asked.count("/v1/images/edits"), asked.count("/v1/chat/completions")) == (60, 120)
    pairs = read_pairs(tmp_path / "e.jsonl")
    assert len(pairs) == 120 and {pair.answer for pair in pairs[1::2]} == {"nothing at all"}


def test_what_a_user_can_mend_is_one_line(tmp_path):
    done = RUN.invoke(app, ["mine-images", str(tmp_path / "none.jsonl"), str(tmp_path / "m.jsonl")])
    assert done.exit_code == 2
    assert "none.jsonl" in done.output and "no such file" in done.output and "Traceback" not in done.output
