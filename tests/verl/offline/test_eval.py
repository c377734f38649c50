"""Evaluations of the shipped policy, start to files: real loop, real engine, real judge."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from cleartrace.data.growing import StoreError
from cleartrace.evaluate.outcome import RolloutOutcome, Status
from cleartrace.evaluate.settings import EvalSettings
from cleartrace.evaluate.store import read_outcomes
from cleartrace.evaluate.summary import Summary
from cleartrace.llm.http import EndpointUnavailable
from cleartrace.report import build_report
from cleartrace.trajectory.record import TrajectoryRecord
from cleartrace_verl.offline import commands
from cleartrace_verl.offline.commands import run_eval
from cleartrace_verl.offline.policy import EmbeddedPolicy
from tests.verl.offline.conftest import POLICY, TOKEN, small_run

Make = Callable[..., EvalSettings]


def text_of(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def outcomes(folder: Path) -> dict[tuple[str, str, int], RolloutOutcome]:
    return {row.key: row for row in read_outcomes(folder / "rollouts.jsonl")}


def comparable(folder: Path) -> dict[tuple[str, str, int], RolloutOutcome]:
    """Outcomes without what the clock says."""
    return {key: row.model_copy(update={"seconds": 0.0}) for key, row in outcomes(folder).items()}


def records(folder: Path) -> list[TrajectoryRecord]:
    lines = (folder / "trajectories.jsonl").read_text().splitlines()
    return [TrajectoryRecord.model_validate_json(line) for line in lines]


@pytest.fixture(scope="module")
def finished(data: Path, judge_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary, str]:
    """Folder, summary and terminal text of one evaluation with both arms; tests copy the folder."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    console = Console(file=io.StringIO(), width=200)
    asked = EvalSettings.model_validate(small_run(data, judge_url, folder))
    return folder, run_eval(asked, console), text_of(console)


@pytest.fixture
def done(finished: tuple[Path, Summary, str], tmp_path: Path) -> Path:
    """A copy of the finished folder, where `eval_settings()` looks for it."""
    return Path(shutil.copytree(finished[0], tmp_path / "out"))


def test_an_evaluation_reports_both_arms_at_their_true_cost(finished: tuple[Path, Summary, str]) -> None:
    """D20: both modes, attempts and all generated tokens; D52: all rows are evaluated, and nothing is trained."""
    out, summary, said = finished
    total = {arm.arm: arm for arm in summary.arms if arm.source == "all"}
    assert set(total) == {"off", "on"}
    assert all(arm.rollouts == 6 and arm.missing == 0 and arm.lost == 0 for arm in total.values())
    kept = records(out)
    assert len(kept) == 12 and {record.split for record in kept} == {"val"}
    for arm, summed in total.items():
        mine = [record for record in kept if record.arm == arm]
        sampled = sum(len(s.token_ids) for record in mine for s in record.segments if s.kind.startswith("assistant"))
        assert summed.cost.generated_tokens - summed.cost.discarded_tokens == sampled
        assert summed.cost.calls == sum(len(record.tool_calls) for record in mine) > 0
    assert total["off"].cost.discarded_tokens == 0
    assert {path.name for path in out.iterdir()} >= {"summary.json", "summary.csv", "summary.html"}
    assert not list(out.rglob("checkpoints"))
    assert "on - off" in said
    assert build_report(out).is_file()


def test_both_arms_begin_with_the_same_tokens(finished: tuple[Path, Summary, str]) -> None:
    """So their difference is what rollback does, and not another draw."""
    first = {}
    for record in records(finished[0]):
        calls = [(call.code, call.status) for call in record.tool_calls]
        first.setdefault((record.sample_id, record.rollout), set()).add(tuple(calls[:1]))
    assert len(first) == 6 and all(len(calls) == 1 for calls in first.values())


def test_a_stopped_evaluation_resumes_to_the_same_result(eval_settings: Make, console: Console, done: Path) -> None:
    """The rollouts are seeded one by one, so it does not matter where a run was cut."""
    whole = comparable(done)
    lines = (done / "rollouts.jsonl").read_bytes().splitlines(keepends=True)
    (done / "rollouts.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:40])
    run_eval(eval_settings(), console)
    assert "12 rollouts, 5 of them are done" in text_of(console)
    assert comparable(done) == whole


def test_an_endpoint_gives_the_rollouts_of_the_embedded_engine(
    eval_settings: Make,
    console: Console,
    endpoint: str,
    finished: tuple[Path, Summary, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINY_KEY", TOKEN)
    asked = eval_settings(policy={"endpoint": endpoint, "tokenizer": POLICY, "api_key_env": "TINY_KEY"})
    run_eval(asked, console)
    assert comparable(asked.out) == comparable(finished[0])
    tokens = [{(r.sample_id, r.arm, r.rollout): ids_of(r) for r in records(out)} for out in (asked.out, finished[0])]
    assert tokens[0] == tokens[1]
    assert json.loads((asked.out / "evaluation.json").read_text())["policy"] == "tiny"
    assert TOKEN not in "".join(path.read_text() for path in asked.out.glob("*.json*"))


def ids_of(record: TrajectoryRecord) -> list[list[int]]:
    return [segment.token_ids for segment in record.segments]


def test_a_finished_evaluation_is_summed_up_without_its_model(
    eval_settings: Make, console: Console, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: EmbeddedPolicy) -> None:
        raise AssertionError("nothing is left to roll out")

    monkeypatch.setattr(EmbeddedPolicy, "open", refuse)
    assert run_eval(eval_settings(rollback="off", n=1), console).arms[0].rollouts == 1
    with pytest.raises(AssertionError, match="nothing is left"):
        run_eval(eval_settings(n=3), console)
    assert done == eval_settings().out


def test_other_sampling_needs_another_folder(eval_settings: Make, console: Console, done: Path) -> None:
    with pytest.raises(StoreError, match=f"{done} was begun with other settings .sampling"):
        run_eval(eval_settings(temperature=0.5), console)


class FailingPolicy:
    """Works for the first requests, then fails as told."""

    def __init__(self, real: EmbeddedPolicy, good: int, error: Exception) -> None:
        self._real, self._good, self._error = real, good, error

    async def generate(self, *args, **kwargs):
        self._good -= 1
        if self._good < 0:
            raise self._error
        return await self._real.generate(*args, **kwargs)

    def __getattr__(self, name: str):
        return getattr(self._real, name)


def failing(monkeypatch: pytest.MonkeyPatch, good: int, error: Exception) -> None:
    make = commands.make_policy
    monkeypatch.setattr(commands, "make_policy", lambda *args: FailingPolicy(make(*args), good, error))


def test_a_rollout_that_fails_is_lost_and_the_others_go_on(
    eval_settings: Make, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = eval_settings(rollback="off", concurrency=1, infra_retries=1)
    with monkeypatch.context() as patch:
        failing(patch, 3, ValueError("the engine hiccuped"))
        summary = run_eval(asked, console)
    total = summary.arms[-1]
    assert total.lost > 0 and total.rollouts == 6 and total.retried == total.lost
    lost = [row for row in outcomes(asked.out).values() if row.status is Status.LOST]
    assert all(row.tries == 2 and row.error == "ValueError: the engine hiccuped" for row in lost)
    assert f"{len(lost)} x lost: ValueError: the engine hiccuped" in text_of(console)
    again = run_eval(asked.model_copy(update={"retry_lost": True}), console).arms[-1]
    assert again.lost == 0 and again.rollouts == 6


def test_a_policy_that_is_gone_stops_the_run_and_keeps_what_is_done(
    eval_settings: Make, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = eval_settings(rollback="off", concurrency=1)
    with monkeypatch.context() as patch:
        failing(patch, 5, EndpointUnavailable("no answer"))
        with pytest.raises(EndpointUnavailable):
            run_eval(asked, console)
    done = len(outcomes(asked.out))
    assert 0 < done < 6
    run_eval(asked, console)
    assert len(outcomes(asked.out)) == 6
