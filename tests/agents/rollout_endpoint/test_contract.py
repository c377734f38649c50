"""The contract from the caller's side: what goes over the wire, word for word."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cleartrace.agents.rollout_endpoint.store import S3Store, StoreFault, open_store
from cleartrace.agents.rollout_endpoint.types import SESSION_HEADER, Place
from tests.agents.rollout_endpoint.puppet import Stage, awaited, payload

pytest.importorskip("starlette")


async def finished(stage: Stage, place: dict) -> dict:
    for _ in range(500):
        answer = await stage.http.get(f"/results/{place['s3_bucket']}/{place['result_key']}")
        if answer.status_code == 200:
            return answer.json()
        assert answer.status_code == 202 and answer.json()["status"] in ("waiting", "processing")
        await asyncio.sleep(0.01)
    raise AssertionError("no result")


@awaited
async def test_an_invocation_is_answered_at_once_and_its_result_comes_later(tmp_path: Path):
    stage, asked = Stage(tmp_path), payload("slow", note="kept")
    place = (await stage.http.post("/invocations", json=asked)).json()
    assert place == {"status": "processing", "s3_bucket": "bucket", "result_key": "exp/i1/s1.json"}
    await asyncio.sleep(0.02)
    assert (await stage.http.get("/ping")).json()["status"] == "HealthyBusy"
    stage.agent.release.set()
    found = await finished(stage, place)
    assert found.items() >= {
        "rewards": [1.0], "status_code": 200, "stop_reason": "end_turn", "input_id": "i1",
        "result_key": "exp/i1/s1.json", "s3_bucket": "bucket", "payload": asked,
    }.items()  # fmt: skip
    assert "traceback" not in found and found["episode"]["trajectory"]["task_id"] == "slow"
    assert json.loads((tmp_path / "results/bucket/exp/i1/s1.json").read_text()) == found
    assert (await stage.http.get("/ping")).json()["status"] == "Healthy"


@awaited
async def test_a_failed_rollout_is_a_500_with_its_blame_and_no_score(tmp_path: Path):
    stage = Stage(tmp_path)
    found = await finished(stage, (await stage.http.post("/invocations", json=payload("broken"))).json())
    assert found["status_code"] == 500 and found["rewards"] is None
    assert found["stop_reason"] == "sandbox: EnvironmentFault: the world fell over" and found["blame"] == "sandbox"
    counts = (await stage.http.get("/status")).json()
    assert (counts["done"], counts["failed"], counts["environment"]) == (1, 1, "puppets")


@awaited
async def test_a_time_limit_is_the_models_own_and_scores_0(tmp_path: Path):
    stage = Stage(tmp_path, time_limit_s=0.05)
    found = await finished(stage, (await stage.http.post("/invocations", json=payload("slow"))).json())
    assert (found["rewards"], found["status_code"], found["stop_reason"]) == ([0.0], 200, "time_limit")


@awaited
async def test_the_same_key_is_one_rollout_and_a_call_without_session_is_a_new_one(tmp_path: Path):
    stage = Stage(tmp_path)
    asked = [stage.http.post("/invocations", json=payload()) for _ in range(5)]
    asked += [stage.http.post("/invocations", json=payload(session=None), headers={SESSION_HEADER: "s1"})]
    places = [answer.json() for answer in await asyncio.gather(*asked)]
    await finished(stage, places[0])
    again = (await stage.http.post("/invocations", json=payload())).json()
    assert again == places[0] and {one["result_key"] for one in places} == {"exp/i1/s1.json"}
    assert len(stage.agent.runs) == 1
    other = [(await stage.http.post("/invocations", json=payload(session=None))).json() for _ in range(2)]
    for one in other:
        await finished(stage, one)
    seeds = {seed for _, _, seed in stage.agent.runs}
    assert len(stage.agent.runs) == 3 and len(seeds) == 3, "each sample has its own seed"


@awaited
async def test_no_more_run_at_once_than_allowed_and_too_many_are_sent_away(tmp_path: Path):
    stage = Stage(tmp_path, concurrency=2, waiting=3)
    answers = [await stage.http.post("/invocations", json=payload("slow", f"s{n}")) for n in range(2)]
    while stage.service.running < 2:
        await asyncio.sleep(0.001)
    answers += [await stage.http.post("/invocations", json=payload("slow", f"s{n}")) for n in range(2, 6)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "5"
    stage.agent.release.set()
    for answer in answers:
        if answer.status_code == 200:
            await finished(stage, answer.json())
    assert stage.agent.most == 2


@awaited
async def test_a_restart_goes_on_with_what_was_accepted(tmp_path: Path):
    first = Stage(tmp_path)
    for session, task in (("s1", "good"), ("s2", "slow"), ("s3", "slow"), ("s4", "slow")):
        place = (await first.http.post("/invocations", json=payload(task, session, seed=5))).json()
    await finished(first, {**place, "result_key": "exp/i1/s1.json"})
    await first.service.close()
    assert not (tmp_path / "results/bucket/exp/i1/s2.json").exists(), "a stop is no result"
    second = Stage(tmp_path)
    second.agent.release.set()
    assert await second.service.resume() == 3
    assert (await finished(second, place))["rewards"] == [1.0]
    await finished(second, {**place, "result_key": "exp/i1/s2.json"})
    assert [(task, seed) for task, _, seed in second.agent.runs] == [("slow", 5)] * 3
    assert await second.service.resume() == 0 and list((tmp_path / "journal").iterdir()) == []


@awaited
async def test_a_cancelled_rollout_ends_and_says_so(tmp_path: Path):
    stage = Stage(tmp_path)
    place = (await stage.http.post("/invocations", json=payload("slow"))).json()
    await asyncio.sleep(0.02)
    url = f"/results/bucket/{place['result_key']}"
    assert (await stage.http.delete(url)).json() == {"cancelled": True} and stage.agent.at_once == 0
    found = await finished(stage, place)
    assert found["status_code"] == 500 and "cancelled" in found["stop_reason"]
    assert (await stage.http.delete(url)).json() == {"cancelled": False}


@awaited
async def test_what_cannot_be_a_rollout_is_refused_before_anything_runs(tmp_path: Path):
    stage = Stage(tmp_path)
    wrong = [{}, payload("nobody"), {"task_id": "good"}, payload(session="../../x"), payload(seed="one")]
    for field, value in (("exp_id", "../up"), ("exp_id", "/abs"), ("exp_id", "a//b"), ("input_id", "a/b"),
                         ("s3_bucket", ".."), ("input_id", "a\n"), ("sampling_params", {"messages": []})):  # fmt: skip
        asked = payload()
        asked["_rollout"][field] = value
        wrong.append(asked)
    for asked in wrong:
        answer = await stage.http.post("/invocations", json=asked)
        assert answer.status_code == 422 and answer.json()["detail"], asked
    assert (await stage.http.post("/invocations", content=b"{")).status_code == 400
    for path in ("bucket/exp/none.json", "..%2F..%2Fetc/passwd", "bucket/../../../etc/passwd"):
        assert (await stage.http.get(f"/results/{path}")).status_code in (404, 503)
    assert stage.agent.runs == []


@awaited
async def test_everything_but_the_ping_wants_the_token(tmp_path: Path):
    stage = Stage(tmp_path, token="secret")
    assert (await stage.http.get("/ping")).status_code == 200
    assert (await stage.http.get("/status")).status_code == 401
    assert (await stage.http.post("/invocations", json=payload())).status_code == 401
    headers = {"Authorization": "Bearer secret"}
    assert (await stage.http.get("/status", headers=headers)).status_code == 200


class Buckets:
    """What is used of boto3's client, with its kind of error."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}

    def put_object(self, Bucket, Key, Body, ContentType):
        self.objects[Bucket, Key] = Body

    def get_object(self, Bucket, Key):
        if (Bucket, Key) not in self.objects:
            error = RuntimeError("no such key")
            error.response = {"Error": {"Code": "NoSuchKey" if Bucket == "b" else "AccessDenied"}}  # type: ignore[attr-defined]
            raise error
        import io

        return {"Body": io.BytesIO(self.objects[Bucket, Key])}


def test_buckets_and_folders_are_the_same_two_calls(tmp_path: Path):
    place, other = Place(s3_bucket="b", result_key="e/i/s.json"), Place(s3_bucket="c", result_key="k")
    for store in (S3Store(Buckets()), open_store(f"file://{tmp_path}/r"), open_store(str(tmp_path / "q"))):
        assert store.get(place) is None
        store.put(place, b"one")
        store.put(place, b"two")
        assert store.get(place) == b"two"
    with pytest.raises(StoreFault, match="AccessDenied|no such key"):
        S3Store(Buckets()).get(other)
    with pytest.raises(StoreFault, match="the bucket b alone"):
        S3Store(Buckets(), bucket="b").put(other, b"")
    with pytest.raises(ValueError, match="s3://BUCKET"):
        open_store("ftp://x")
