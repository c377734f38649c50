"""Edits by models behind an endpoint, and the run that collects them."""

from __future__ import annotations

import base64
import json

import httpx
import pytest
from PIL import Image, ImageDraw

from cleartrace.data.errors import DataError
from cleartrace.llm.http import Endpoint, EndpointUnavailable
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.make.scenes.scene import Box
from cleartrace.pairs.mine.images.api import (
    ChatVision,
    EndpointEditor,
    EndpointEmbedder,
    EndpointVerifier,
    png,
)
from cleartrace.pairs.mine.images.editing import Criterion, Edit, NoEdit
from cleartrace.pairs.mine.images.edits import edit_pairs
from cleartrace.pairs.mine.images.judging import ChatJudge, Judgement
from cleartrace.pairs.mine.images.offline import PixelVerifier
from cleartrace.pairs.mine.images.question import ImageQuestion
from cleartrace.pairs.mine.images.retrieval import Match

PLAN = {"instruction": "Make the dot blue.", "answer": "blue", "box": [0.25, 0.25, 0.75, 0.75]}


def dot(colour: str) -> Image.Image:
    image = Image.new("RGB", (40, 40), "white")
    ImageDraw.Draw(image).ellipse((14, 14, 26, 26), fill=colour)
    return image


@pytest.fixture
def question(tmp_path):
    dot("red").save(tmp_path / "red.png")
    return ImageQuestion(
        id="dot-1", image=str(tmp_path / "red.png"), question="Which colour?", answer="red", group="dot", source="test"
    )


class Server:
    """Answers of a chat model in turn, and one picture; keeps what it was asked."""

    def __init__(self, *replies: str, picture: Image.Image | None = None, status: int = 200):
        self.replies, self.picture, self.status = list(replies), picture, status
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/v1/images/edits":
            if self.status != 200:
                return httpx.Response(self.status, text="no")
            data = [{"b64_json": base64.b64encode(png(self.picture)).decode()}] if self.picture else []
            return httpx.Response(200, json={"data": data})
        if request.url.path == "/v1/embeddings":
            return httpx.Response(200, json={"data": [{"embedding": [0.6, 0.8]}]})
        return httpx.Response(200, json={"choices": [{"message": {"content": self.replies.pop(0)}}]})

    def chat(self) -> ChatVision:
        return ChatVision(Endpoint("http://test", transport=httpx.MockTransport(self)), "seer")

    def editor(self) -> EndpointEditor:
        images = Endpoint("http://test", transport=httpx.MockTransport(self), patience_s=2, sleep=lambda _: None)
        return EndpointEditor(self.chat(), images, "painter")

    def sent(self, number: int) -> dict:
        return json.loads(self.requests[number].content)


# --- editor ---------------------------------------------------------------------------------------------------------


def test_the_editor_plans_and_paints(question):
    server = Server("Let me think.\n" + json.dumps(PLAN), picture=dot("blue").resize((80, 80)))
    edit = server.editor().edit(question, dot("red"))
    assert (edit.answer, edit.instruction, edit.target) == ("blue", PLAN["instruction"], Box(10, 10, 30, 30))
    assert edit.image.size == (40, 40)
    content = server.sent(0)["messages"][0]["content"]
    assert content[0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert "Which colour?" in content[1]["text"] and "Answer: red" in content[1]["text"]
    form = server.requests[1].content
    assert b"Make the dot blue. Change nothing else" in form and b'filename="image.png"' in form and b"painter" in form


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (Server('{"instruction": null}'), "proposes no edit"),
        (Server("I cannot."), "no JSON object"),
        (Server(json.dumps(PLAN)), "gave no picture"),
        (Server(json.dumps(PLAN), status=400), "refused a request"),
    ],
)
def test_one_picture_without_an_edit_does_not_stop_the_run(server, why, question):
    with pytest.raises(NoEdit, match=why):
        server.editor().edit(question, dot("red"))


def test_an_endpoint_that_is_down_does(question):
    server = Server(json.dumps(PLAN), status=503)
    with pytest.raises(EndpointUnavailable, match="edits gave no answer within 2 s: HTTP 503"):
        server.editor().edit(question, dot("red"))
    server = Server(json.dumps(PLAN), status=401)
    with pytest.raises(EndpointUnavailable, match="key"):
        server.editor().edit(question, dot("red"))


@pytest.mark.parametrize("box", [None, [0, 0, 2, 1], [0.5, 0, 0.5, 1], "all", [1, 2]])
def test_a_box_that_makes_no_sense_is_no_target(box, question):
    server = Server(json.dumps({**PLAN, "box": box}), picture=dot("blue"))
    assert server.editor().edit(question, dot("red")).target is None


# --- verifier and judge ---------------------------------------------------------------------------------------------


def test_the_verifier_asks_for_five_criteria_about_both_pictures(question):
    server = Server('{"failed": ["no_restyling", "local"], "reason": "all is darker"}')
    edit = Edit(dot("blue"), "blue", "Make the dot blue.")
    verdict = EndpointVerifier(server.chat()).verify(question, dot("red"), edit)
    assert verdict.failed == (Criterion.LOCAL, Criterion.NO_RESTYLING)
    assert verdict.reason == "all is darker"
    content = server.sent(0)["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    assert all(f"{criterion.value}: " in content[2]["text"] for criterion in Criterion)


@pytest.mark.parametrize("reply", ["fine", '{"failed": "none"}', '{"failed": ["ugly"]}', "{}"])
def test_what_is_not_judged_is_not_kept(reply, question):
    verdict = EndpointVerifier(Server(reply).chat()).verify(question, dot("red"), Edit(dot("blue"), "blue", ""))
    assert set(verdict.failed) == set(Criterion)
    assert "not judged" in verdict.reason


@pytest.mark.parametrize(
    ("reply", "judgement"),
    [
        ('{"label": "VALID", "reason": ""}', Judgement.VALID),
        ('{"label": "INVALID", "reason": "unrelated"}', Judgement.UNRELATED),
        ('{"label": "INVALID", "reason": "because"}', Judgement.NOT_JUDGED),
        ("hm", Judgement.NOT_JUDGED),
    ],
)
def test_the_judge_of_matches(reply, judgement, question):
    match = Match(question, question.model_copy(update={"id": "dot-2", "answer": "blue"}), 0.9)
    assert ChatJudge(Server(reply).chat()).judge(match) is judgement


def test_the_embedder_asks_once_for_each_picture(question, tmp_path):
    server = Server()
    endpoint = Endpoint("http://test", transport=httpx.MockTransport(server))
    vectors = EndpointEmbedder(endpoint, "embedder").embed([tmp_path / "red.png"] * 3)
    assert vectors.shape == (3, 2)
    assert len(server.requests) == 3
    with pytest.raises(ValueError, match="missing.png"):
        EndpointEmbedder(endpoint, "embedder").embed([tmp_path / "missing.png"])


# --- the run --------------------------------------------------------------------------------------------------------


class Painter:
    """Paints the dot blue; counts, and can be interrupted."""

    def __init__(self, stop_at: int = 0):
        self.calls, self.stop_at = 0, stop_at

    def edit(self, question, image):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        if question.id.endswith("2"):
            raise NoEdit("not this one")
        return Edit(dot("blue"), "red" if question.id.endswith("3") else "blue", "Paint.", Box(10, 10, 30, 30))


def questions(question, count: int) -> list[ImageQuestion]:
    return [question.model_copy(update={"id": f"dot-{n}"}) for n in range(1, count + 1)]


def test_a_run_counts_every_end_and_goes_on_after_a_kill(question, tmp_path):
    asked = [*questions(question, 4), question.model_copy(update={"id": "gone", "image": "gone.png"})]
    out, painter = tmp_path / "pairs.jsonl", Painter(stop_at=4)
    with pytest.raises(KeyboardInterrupt):
        edit_pairs(asked, painter, PixelVerifier(), out, {"seed": 0})
    assert not out.exists()
    with (tmp_path / "pairs.jsonl.journal").open("a") as journal:
        journal.write('{"key": "dot-4", "outc')  # killed while it wrote
    funnel = edit_pairs(asked, painter, PixelVerifier(), out, {"seed": 0})
    assert painter.calls == 5
    assert funnel == {"questions": 5, "kept": 2, "no_edit": 1, "answer_changes": 1, "unreadable_image": 1}
    pairs = read_pairs(out)
    assert [pair.id for pair in pairs] == ["dot-1+", "dot-1-", "dot-4+", "dot-4-"]
    assert {pair.answer for pair in pairs} == {"red", "blue"}
    with Image.open(pairs[1].pos.path) as edited:
        assert edited.tobytes() == dot("blue").tobytes()
    with pytest.raises(DataError, match="other settings"):
        edit_pairs(asked, painter, PixelVerifier(), out, {"seed": 1})


def test_workers_change_nothing(question, tmp_path):
    for workers in (1, 4):
        edit_pairs(questions(question, 9), Painter(), PixelVerifier(), tmp_path / f"{workers}.jsonl", {}, workers)
    one, four = (read_pairs(tmp_path / f"{workers}.jsonl") for workers in (1, 4))
    assert [(p.id, p.answer) for p in one] == [(p.id, p.answer) for p in four]
