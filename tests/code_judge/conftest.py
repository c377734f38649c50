"""One real service for all tests of this folder: Valkey, API, two workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from code_judge.embedded import EmbeddedJudge

Post = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedJudge]:
    with EmbeddedJudge(log_dir=tmp_path_factory.mktemp("judge-log"), workers=2) as running:
        yield running


@pytest.fixture(scope="session")
def http(judge: EmbeddedJudge) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {judge.token}"}
    with httpx.Client(base_url=judge.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def run(http: httpx.Client) -> Post:
    """run(source, path="/run", **submission fields) -> the answer's body."""

    def send(source: str, path: str = "/run", **more: Any) -> dict[str, Any]:
        answer = http.post(path, json={"type": "python", "solution": source, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return send
