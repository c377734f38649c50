"""Raw requests: what a status means, how long is waited, and which addresses a proxy is asked for."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from benchmarks.loopback import Answer, Loopback
from cleartrace.llm.http import (
    AsyncEndpoint,
    Endpoint,
    EndpointUnavailable,
    Patience,
    RequestRefused,
    TryAgain,
    api_root,
    read_answer,
    read_failure,
)

ONE_MODEL = {"data": [{"id": "m"}]}


def error(code: str) -> bytes:
    return json.dumps({"error": {"message": "no", "code": code}}).encode()


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://host/v1/", "http://host/v1"),
        ("http://host/models", "http://host/models/v1"),
        ("https://host/api/paas/v4", "https://host/api/paas/v4"),
        ("https://host/v1beta/openai", "https://host/v1beta/openai"),
    ],
)
def test_an_address_gets_a_version_unless_it_names_one(url: str, root: str) -> None:
    assert api_root(url) == root


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(status: int) -> None:
    assert read_answer("x", status, {"retry-after": "7"}, b"busy") == TryAgain(f"HTTP {status}: busy", 7.0)


@pytest.mark.parametrize("content", [b"<html>gateway</html>", b"", b"[1]", b'{"a": '])
def test_a_success_without_an_object_is_asked_again(content: bytes) -> None:
    assert isinstance(read_answer("x", 200, {}, content), TryAgain)
    assert read_answer("x", 200, {}, b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("status", "content"),
    [(401, b""), (403, b""), (404, b""), (405, b""), (501, b""), (308, b""), (429, error("insufficient_quota"))],
)
def test_what_no_request_can_mend_stops_all(status: int, content: bytes) -> None:
    with pytest.raises(EndpointUnavailable, match=f"x refused: HTTP {status}"):
        read_answer("x", status, {}, content)


@pytest.mark.parametrize(
    ("status", "content"), [(400, b"too long"), (413, b""), (422, b'{"error": 3}'), (500, error("content_filter"))]
)
def test_what_one_request_did_wrong_stops_that_one(status: int, content: bytes) -> None:
    with pytest.raises(RequestRefused, match=f"x refused a request: HTTP {status}"):
        read_answer("x", status, {}, content)


def test_what_cannot_be_sent_is_not_tried_again() -> None:
    assert read_failure("x", httpx.ReadTimeout("slow")) == TryAgain("ReadTimeout: slow")
    with pytest.raises(EndpointUnavailable, match="127.0.0.1:8000/v1/models: .*'http://' or 'https://' protocol"):
        Endpoint("127.0.0.1:8000").only_model("--model")
    with pytest.raises(EndpointUnavailable, match="Invalid port"):
        Endpoint("http://host:port").only_model("--model")


def test_waits_double_and_are_at_least_what_is_asked_for() -> None:
    patience = Patience("x", 100.0)
    waits = [patience.wait_s(TryAgain("busy", asked)) for asked in (None, 0.0, 9.0, None)]
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0
    assert waits[2] == 9.0 and 2.0 <= waits[3] <= 4.0


def test_nobody_waits_beyond_the_patience() -> None:
    with pytest.raises(EndpointUnavailable, match="x gave no answer within 100 s: busy"):
        Patience("x", 100.0).wait_s(TryAgain("busy", 101.0))


def test_forms_are_tried_again_whole() -> None:
    sent: list[bytes] = []

    def serve(request: httpx.Request) -> httpx.Response:
        sent.append(request.read())
        return httpx.Response(200, json={"data": []}) if len(sent) > 1 else httpx.Response(502)

    endpoint = Endpoint("http://x", transport=httpx.MockTransport(serve), sleep=lambda _: None)
    assert endpoint.send_form("/images/edits", {"n": "1"}, {"image": ("a.png", b"PNG", "image/png")}) == {"data": []}
    assert all(b'filename="a.png"' in content and b"PNG" in content for content in sent)


@pytest.mark.parametrize("listed", [[{"id": "a"}, {"id": "b"}], [], None])
def test_a_model_has_to_be_named_where_there_is_not_one(listed: object) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": listed})

    with pytest.raises(EndpointUnavailable, match="choose one with --chat-model NAME"):
        Endpoint("http://x", transport=httpx.MockTransport(serve)).only_model("--chat-model")


def test_this_machine_is_asked_without_a_proxy(proxy: Loopback) -> None:
    async def only(url: str) -> str:
        endpoint = AsyncEndpoint(url)
        try:
            return await endpoint.only_model("--model")
        finally:
            await endpoint.close()

    with Loopback(lambda asked: Answer(ONE_MODEL)) as server:
        assert Endpoint(server.url).only_model("--model") == "m"
        assert asyncio.run(only(server.url)) == "m"
    assert not proxy.asked


def test_another_machine_is_asked_through_the_proxy(proxy: Loopback) -> None:
    with pytest.raises(EndpointUnavailable, match="HTTP 403"):
        Endpoint("http://models.example").only_model("--model")
    assert [asked.path for asked in proxy.asked] == ["http://models.example/v1/models"]
