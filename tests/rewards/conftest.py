"""One real judge for all reward tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cleartrace.rewards.judge import Judge
from code_judge.embedded import EmbeddedJudge
from code_judge.sync_client import SyncJudgeClient


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedJudge]:
    folder = tmp_path_factory.mktemp("reward-judge")
    with EmbeddedJudge(log_dir=folder, workers=2, environment={"MAX_EXECUTION_TIME": "1"}) as running:
        yield running


@pytest.fixture(scope="session")
def judge(service: EmbeddedJudge) -> Iterator[Judge]:
    with SyncJudgeClient(service.url, service.token) as client:
        yield client
