"""A real judge, a real engine behind a real HTTP server, and generated tasks."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from rich.console import Console
from transformers import AutoTokenizer

from cleartrace.data.tasks import Split
from cleartrace.evaluate.settings import EvalSettings
from cleartrace_verl.engine import AsyncEngine, EngineConfig, load_engine
from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE
from cleartrace_verl.offline.serve import Served, build_app
from code_judge.embedded import EmbeddedJudge
from tests.data.task_files import write_tasks

POLICY = Path(__file__).resolve().parents[3] / "dataset/quickstart/policy"
TOKEN = "a token for the tests"


@pytest.fixture(scope="session")
def judge_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    patch = pytest.MonkeyPatch()
    with EmbeddedJudge(log_dir=tmp_path_factory.mktemp("judge-log"), workers=2) as running:
        patch.setenv(JUDGE_TOKEN_VARIABLE, running.token)
        yield running.url
    patch.undo()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three held-out tasks."""
    return write_tasks(tmp_path_factory.mktemp("data") / "val.parquet", 3, 0, Split.HELD_OUT)


@pytest.fixture(scope="session")
def served() -> Served:
    engine = AsyncEngine(load_engine(POLICY, EngineConfig(max_slots=8, max_context=512)))
    return Served(engine, AutoTokenizer.from_pretrained(POLICY), "tiny")


@pytest.fixture(scope="session")
def endpoint(served: Served) -> Iterator[str]:
    """The server on a free loopback port, wanting TOKEN."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(served, TOKEN), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def small_run(data: Path, judge_url: str, out: Path) -> dict[str, Any]:
    """Fields of a run of the shipped policy: three questions, two rollouts each."""
    return {
        "data": [data],
        "out": out,
        "policy": {"model": POLICY},
        "judge": {"url": judge_url},
        "n": 2,
        "prompt_tokens": 96,
        "response_tokens": 384,
        "max_turns": 4,
        "top_p": 1.0,
    }


@pytest.fixture
def settings(data: Path, judge_url: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """settings(**changes) -> fields of a small run."""
    return lambda **changes: {**small_run(data, judge_url, tmp_path / "out"), **changes}


@pytest.fixture
def eval_settings(settings: Callable[..., dict[str, Any]]) -> Callable[..., EvalSettings]:
    return lambda **changes: EvalSettings.model_validate(settings(**changes))


@pytest.fixture
def console() -> Console:
    """Its text is `console.file.getvalue()`."""
    return Console(file=io.StringIO(), width=200)
