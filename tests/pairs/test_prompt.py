"""The renderer: what is shown, in which order, and what must not be."""

from __future__ import annotations

import pytest

from cleartrace.pairs.prompt import HIDDEN, render
from cleartrace.pairs.record import Message, Order, PairKind
from cleartrace.pairs.steps import fenced, render_steps, split_command, steps_of
from tests.pairs.samples import image_pair, text_pair, trajectory, trajectory_pair

AB, BA = Order.SUPPORTING_FIRST, Order.CONFOUNDING_FIRST


def test_a_text_prompt_in_full():
    prompt = render(text_pair(), BA)
    assert prompt.correct == "B" and prompt.images == ()
    assert prompt.messages == [
        {
            "role": "user",
            "content": "Question:\nWhat colour is the fox?\n\nAnswer under test:\nred\n\n"
            "Context A:\n```\nFox 0 is grey.\n```\n\nContext B:\n```\nFox 0 is red.\n```\n\n"
            "Exactly one of the two contexts supports this answer. Reply with its letter only, A or B.",
        }
    ]


def test_the_order_changes_nothing_but_places():
    one, other = (render(text_pair(), order).messages[0]["content"] for order in (AB, BA))
    assert one != other and sorted(one.splitlines()) == sorted(other.splitlines())
    assert render(text_pair(), AB).correct == "A"


def test_letters_are_a_choice():
    prompt = render(text_pair(), AB, ("X", "Y"))
    content = prompt.messages[0]["content"]
    assert (
        prompt.correct == "X" and "Context X:" in content and content.endswith("X or Y.") and "Context A" not in content
    )


def test_a_trajectory_is_numbered_steps():
    assert render_steps(trajectory("fox = 'red'")) == (
        "Step 1\nThought: Look at it.\nCommand:\n```\ncat fox.py\n```\n"
        "Observation:\n```\nfox = 'red'\n```\n\nStep 2\nThought: I am done, nothing to run."
    )


def test_system_prompt_and_issue_are_not_shown():
    """The leak rule: the issue's text matches the patch trivially."""
    hidden, shown = (str(render(trajectory_pair(), AB, include_issue=show).messages) for show in (False, True))
    assert "issue 7" not in hidden and shown.count("issue 7") == 2
    assert "agent with a shell" not in hidden + shown


def test_several_observations_and_later_system_messages():
    messages = (
        Message(role="assistant", content="a"),
        Message(role="tool", content="one\n"),
        Message(role="system", content="secret"),
        Message(role="user", content="two"),
    )
    (step,) = steps_of(messages)
    assert (step.thought, step.command, step.observation) == ("a", "", "one\ntwo")


@pytest.mark.parametrize(
    ("said", "split"),
    [
        ("before\n```bash\nls\n```\nafter", ("before\nafter", "ls")),
        ("````\ncat <<X\n```\nX\n````", ("", "cat <<X\n```\nX")),
        ("```\na\n```\n```\nb\n```", ("```\na\n```\n```\nb\n```", "")),
        ("no block, `code` only", ("no block, `code` only", "")),
        ("```bash\nnever closed", ("```bash\nnever closed", "")),
    ],
)
def test_the_one_block_of_a_turn_is_its_command(said, split):
    assert split_command(said) == split


@pytest.mark.parametrize("text", ["", "plain", "```\nx\n```", "``````", "Context B:\n```"])
def test_no_context_closes_its_fence(text):
    first, *body, last = fenced(text).split("\n")
    assert first == last and set(first) == {"`"} and "\n".join(body) == text
    assert all(line != first for line in body)


def test_a_trajectory_needs_an_agent():
    pair = text_pair(
        kind=PairKind.TRAJECTORY, pos=trajectory("x"), neg=(Message(role="user", content="only an issue"),)
    )
    with pytest.raises(ValueError, match="pair fox-0: the trajectory has no assistant turn"):
        render(pair, AB)


def test_images_stand_where_they_belong(tmp_path):
    pair = image_pair(tmp_path)
    prompt = render(pair, BA)
    parts = prompt.messages[0]["content"]
    assert [part["type"] for part in parts] == ["text", "image", "text", "image", "text", "image", "text"]
    assert prompt.images == (pair.images[0], pair.neg, pair.pos)
    assert parts[2]["text"].endswith("Context A:\n") and parts[4]["text"] == "\n\nContext B:\n"
    assert all(set(part) == {"type"} for part in parts if part["type"] == "image")


def test_w13_a_question_with_two_images_is_not_taken_for_a_pair_of_images(tmp_path):
    """The official code takes any row with more than one image for a contrastive one."""
    images = image_pair(tmp_path)
    pair = text_pair(images=(images.pos, images.neg))
    prompt = render(pair, AB)
    texts = [part.get("text", "<image>") for part in prompt.messages[0]["content"]]
    assert prompt.images == (images.pos, images.neg)
    assert "".join(texts).count("<image>") == 2 and texts[-1].count("```") == 4


def test_the_blind_control_shows_no_context(tmp_path):
    for pair in (text_pair(), trajectory_pair(), image_pair(tmp_path)):
        one, other = (render(pair, order, blind=True) for order in (AB, BA))
        assert one.messages == other.messages and one.correct != other.correct
        assert str(one.messages).count(HIDDEN) == 2 and one.images == pair.images
