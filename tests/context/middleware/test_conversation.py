"""Where a task is found in a conversation, and where its context goes."""

from __future__ import annotations

import copy

import pytest

from cleartrace.context.middleware.conversation import Shape, task_text, with_text

USER = {"role": "user", "content": "Pay the bill."}
TOOL = {"role": "tool", "tool_call_id": "1", "content": "paid"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "pay", "arguments": "{}"}}],
}
PART = {"type": "text", "text": "Rules."}


@pytest.mark.parametrize(
    ("body", "shape", "text"),
    [
        ({"messages": [{"role": "system", "content": "S"}, USER, CALL, TOOL]}, Shape.CHAT, "Pay the bill."),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "a"},
                            {"type": "image_url", "image_url": {}},
                            {"type": "text", "text": "b"},
                        ],
                    }
                ]
            },
            Shape.CHAT,
            "a\nb",
        ),
        ({"input": " Pay. "}, Shape.RESPONSES, "Pay."),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]}, Shape.RESPONSES, "x"),
        ({"input": "More.", "previous_response_id": "r1"}, Shape.RESPONSES, None),
        ({"input": "More.", "conversation": "c1"}, Shape.RESPONSES, None),
        ({"messages": [{"role": "system", "content": "S"}]}, Shape.CHAT, None),
        ({"messages": [{"role": "user", "content": ""}]}, Shape.CHAT, None),
        ({"messages": "nonsense"}, Shape.CHAT, None),
        ({"messages": [3, None, {"role": "user", "content": {"odd": 1}}]}, Shape.CHAT, None),
        ({}, Shape.RESPONSES, None),
    ],
)
def test_the_task_is_the_text_of_the_first_user_message(body, shape, text):
    assert task_text(body, shape) == text


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ([], {"role": "system", "content": "Advice."}),
        ([{"role": "system", "content": "Rules."}], {"role": "system", "content": "Rules.\n\nAdvice."}),
        (
            [{"role": "developer", "content": [PART]}],
            {"role": "developer", "content": [PART, {"type": "text", "text": "Advice."}]},
        ),
        ([{"role": "system", "content": ""}], {"role": "system", "content": "Advice."}),
    ],
)
def test_context_goes_behind_the_system_prompt_and_later_turns_stay(first, expected):
    body = {"model": "m", "messages": [*first, USER, CALL, TOOL], "tools": [{"type": "function"}]}
    before = copy.deepcopy(body)
    changed = with_text(body, Shape.CHAT, "Advice.")
    assert changed["messages"] == [expected, USER, CALL, TOOL]
    assert changed["tools"] is body["tools"] and body == before, "what was given is not changed"
    assert with_text(changed, Shape.CHAT, "Advice.") == changed, "nothing is said twice"


def test_a_text_as_input_becomes_items():
    assert with_text({"input": "Pay."}, Shape.RESPONSES, "Advice.")["input"] == [
        {"role": "system", "content": "Advice."},
        {"role": "user", "content": "Pay."},
    ]
