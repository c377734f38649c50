"""Stage 6: rules, an endpoint, recordings."""

import json
from collections.abc import Callable

import httpx
import pytest

from cleartrace.data.errors import DataError
from cleartrace.llm.http import Endpoint
from cleartrace.pairs.mine.trajectories.judge import Case, JudgeError, Label, Reason, Verdict
from cleartrace.pairs.mine.trajectories.judge.openai import OpenAIJudge, parse_reply
from cleartrace.pairs.mine.trajectories.judge.recorded import Recorder, Replay
from cleartrace.pairs.mine.trajectories.judge.rules import RuleJudge
from cleartrace.pairs.mine.trajectories.mask import Masked
from cleartrace.pairs.record import Message

ANSWER = "--- a/p/m.py\n+++ b/p/m.py\n@@ -1,2 +1,2 @@\n def f(a):\n-    return a\n+    return a + 1\n"


def side(text: str = "", edits: int = 1, shown: str = "p/m.py:1:def f(a):") -> Masked:
    said = [("assistant", "I grep.\n```bash\ngrep f p/m.py\n```"), ("user", shown), ("assistant", f"So {text}")]
    last = [("user", "FAILED: 1 != 2 in f of p/m.py, the first of the cases that were tried")]
    return Masked(tuple(Message(role=r, content=c) for r, c in (*said, *last)), edits, 0)  # pyright: ignore


def case(pos: Masked | None = None, neg: Masked | None = None, answer: str = ANSWER) -> Case:
    return Case("Which?", answer, pos or side("one"), neg or side("two"), "p/m.py", "f")


@pytest.mark.parametrize(
    ("given", "label", "reason"),
    [
        (case(), Label.VALID, None),
        (case(neg=side("x" * 900)), Label.INVALID, Reason.LENGTH_DISPARITY),
        (case(neg=side("y" * 60)), Label.UNCERTAIN, Reason.LENGTH_DISPARITY),
        (case(neg=side("two <returncode>")), Label.INVALID, Reason.FORMATTING_DIFFERENCE),
        (case(neg=side("two", edits=3)), Label.INVALID, Reason.MASKING_INCONSISTENCY),
        (
            case(pos=side("an offset"), answer=ANSWER.replace("a + 1", "offset(a)")),
            Label.UNCERTAIN,
            Reason.PATCH_TOKEN_LEAKAGE,
        ),
        (
            case(pos=side("offset_a limit"), answer=ANSWER.replace("a + 1", "min(offset_a, limit)")),
            Label.INVALID,
            Reason.PATCH_TOKEN_LEAKAGE,
        ),
        (case(pos=side("one"), neg=side("one ")), Label.INVALID, Reason.AMBIGUOUS_LABEL),
        (
            Case("Which?", ANSWER, side("one"), side("two"), "p/other.py", "f"),
            Label.INVALID,
            Reason.NOT_DECISIVE,
        ),
    ],
)
def test_rules(given, label, reason):
    verdict = RuleJudge()(given)
    assert (verdict.label, verdict.reason) == (label, reason), verdict.note


def endpoint(
    *replies: httpx.Response | Exception, sleep: Callable[[float], None] = lambda _: None
) -> tuple[OpenAIJudge, list[dict]]:
    asked: list[dict] = []
    queue = list(replies)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        reply = queue.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    transport = httpx.MockTransport(answer)
    return OpenAIJudge(Endpoint("http://127.0.0.1:1/v1", transport=transport, patience_s=12, sleep=sleep), "m"), asked


def said(text: str) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})


def test_an_endpoint_is_asked_again_when_it_is_busy():
    judge, asked = endpoint(httpx.Response(503), httpx.ConnectError("no"), said('Hm. {"label": "VALID"}'))
    assert judge(case()) == Verdict(Label.VALID)
    assert len(asked) == 3 and ANSWER in asked[0]["messages"][1]["content"]


def test_a_page_of_a_gateway_and_a_full_server_are_waited_for():
    waits: list[float] = []
    page, full = httpx.Response(200, text="<html>gateway</html>"), httpx.Response(529, headers={"Retry-After": "9"})
    judge, asked = endpoint(page, full, said('{"label": "VALID"}'), sleep=waits.append)
    assert judge(case()) == Verdict(Label.VALID)
    assert len(asked) == 3 and waits[1] == 9


def test_an_endpoint_that_only_shows_pages_gives_no_verdict():
    judge, _ = endpoint(*[httpx.Response(200, text="<html>gateway</html>")] * 50)
    with pytest.raises(JudgeError, match="not JSON: b'<html>gateway"):
        judge(case())


def test_no_answer_is_an_error_and_not_a_verdict():
    judge, asked = endpoint(httpx.Response(401, text="no key"))
    with pytest.raises(JudgeError, match="401.*no key"):
        judge(case())
    assert len(asked) == 1, "a refused key is not tried again"


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ('{"label": "INVALID", "reason": "not_decisive", "note": "n"}', Label.INVALID, Reason.NOT_DECISIVE),
        ('<think>{"label": "VALID"}</think> {"label": "INVALID", "reason": "not_decisive"}', Label.INVALID,
         Reason.NOT_DECISIVE),
        ("I think it is valid.", Label.UNCERTAIN, Reason.AMBIGUOUS_LABEL),
        ('{"label": "INVALID", "reason": "bad"}', Label.UNCERTAIN, Reason.AMBIGUOUS_LABEL),
    ],
)  # fmt: skip
def test_replies_are_read_from_their_end(text, label, reason):
    verdict = parse_reply(text)
    assert (verdict.label, verdict.reason) == (label, reason)


def test_a_recording_plays_back_and_knows_only_its_cases(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    recorder = Recorder(RuleJudge(), path)
    cases = [case(), case(neg=side("x" * 900))]
    verdicts = [recorder(one) for one in (*cases, *cases)]
    assert len(path.read_text().splitlines()) == 2, "asked once per case"
    assert [Replay(path)(one) for one in cases] == verdicts[:2]
    with pytest.raises(JudgeError, match="no verdict on case"):
        Replay(path)(case(pos=side("three")))
    with pytest.raises(DataError):
        Replay(tmp_path / "none.jsonl")


def test_a_recording_cut_short_goes_on(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    Recorder(RuleJudge(), path)(case())
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "12')
    Recorder(RuleJudge(), path)(case(neg=side("x" * 900)))
    assert len(path.read_bytes().splitlines()) == 2 and path.read_bytes().startswith(whole)
