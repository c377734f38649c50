"""The probe against `cleartrace serve`: a real engine behind a real HTTP server that wants a token."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleartrace.evaluate.names import API_KEY_VARIABLE
from cleartrace.llm.http import EndpointUnavailable
from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.record import PairKind, both_directions
from cleartrace.probe.names import Mode, Status
from cleartrace.probe.run import run
from cleartrace.probe.settings import ModelSettings, ProbeSettings
from cleartrace.probe.store import ANSWERS, read_answers
from tests.verl.offline.conftest import TOKEN


@pytest.fixture
def settings(endpoint: str, tmp_path: Path) -> ProbeSettings:
    pair = both_directions(
        id="fox",
        kind=PairKind.TEXT,
        question="What colour is it?",
        answers=("red", "blue"),
        contexts=("It is red.", "It is blue."),
        group="fox",
        source="test",
    )
    write_pairs(tmp_path / "pairs.jsonl", pair)
    model = ModelSettings(endpoint=endpoint, concurrency=2)
    return ProbeSettings(data=(tmp_path / "pairs.jsonl",), out=tmp_path / "out", mode=Mode.GENERATE, model=model)


def test_a_model_served_by_cleartrace_is_probed(settings: ProbeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, TOKEN)
    summary = run(settings)
    answers = list(read_answers(settings.out / ANSWERS))
    assert summary.overall.n == 2 and len(answers) == 4 + 2 and all(answer.text for answer in answers)
    assert {answer.status for answer in answers} <= {Status.ANSWERED, Status.INVALID}


def test_a_server_without_logits_says_so(settings: ProbeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, TOKEN)
    with pytest.raises(EndpointUnavailable, match="probe it with --mode generate"):
        run(settings.model_copy(update={"mode": Mode.LOGIT}))


def test_a_wrong_key_stops_the_probe(settings: ProbeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "another")
    with pytest.raises(EndpointUnavailable, match="the bearer token is missing or wrong"):
        run(settings)
