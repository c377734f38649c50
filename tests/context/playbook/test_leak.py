"""What advice gives away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.context.playbook.entities import entities, is_telling
from cleartrace.context.playbook.leak import LeakGuard, LeakKind, Secret, SecretKind, leaks
from tests.context.playbook.leak_fixture import CLEAN, LEAKING, SECRETS, TASKS


def test_a24_planted_leaks_are_found_and_clean_advice_passes():
    guard = LeakGuard(SECRETS)
    found = [task in {leak.secret.task_id for leak in guard.leaks(text)} for text, task in LEAKING]
    wrong = [text for text in CLEAN if guard.leaks(text)]
    recall = sum(found) / len(found)
    precision = sum(found) / (sum(found) + len(wrong))
    assert (recall, precision) == (1.0, 1.0), (
        [text for (text, _), hit in zip(LEAKING, found, strict=True) if not hit],
        wrong,
    )


def test_a24_every_answer_that_could_not_be_said_by_chance_is_found_anywhere():
    telling = [(id, answer) for id, (_, answer) in TASKS.items() if is_telling(answer)]
    assert len(telling) == 10
    guard = LeakGuard(SECRETS)
    for clean in CLEAN:
        for id, answer in telling:
            said = guard.leaks(f"{clean} It was {answer}, as found.")
            assert {(leak.kind, leak.secret.task_id) for leak in said} >= {(LeakKind.ANSWER, id)}


def test_a_leak_says_what_it_gives_away():
    task = Secret(text=TASKS["t5"][0], kind=SecretKind.TASK, task_id="t5")
    (leak,) = leaks("Find unread notes mention the quarterly budget review meeting, then stop.", [task])
    assert leak.kind is LeakKind.QUOTATION and leak.secret == task
    assert leak.found == "unread notes mention the quarterly budget review meeting"
    assert leak.share == pytest.approx(8 / 14)


def test_an_answer_is_reported_once():
    assert [leak.kind for leak in leaks("Pay 187.35 now.", ["187.35"])] == [LeakKind.ANSWER]


def test_what_many_tasks_share_is_no_secret():
    tasks = [
        Secret(
            text=f"In the Simple Notes app of the demo phone, count notes on topic {n}.",
            kind=SecretKind.TASK,
            task_id=str(n),
        )
        for n in range(6)
    ]
    text = "In the Simple Notes app of the demo phone, count notes page by page."
    assert LeakGuard(tasks).leaks(text) == []
    assert {leak.kind for leak in LeakGuard(tasks[:3]).leaks(text)} == {LeakKind.ENTITY, LeakKind.QUOTATION}
    scenario = [one.model_copy(update={"group": "s1"}) for one in tasks]
    assert LeakGuard(scenario).leaks(text) != []


def test_answers_that_anybody_may_say_leak_only_when_they_are_called_the_answer():
    assert leaks("Say yes when the policy allows it.", ["yes"]) == []
    assert [leak.found for leak in leaks("The final answer: yes.", ["yes"])] == ["yes"]
    assert leaks("The total is 70.", ["7"]) == leaks("The total is 7.5", ["7"]) == []


def test_values_are_read_out_of_text():
    assert entities(
        "See https://a.org/x?y=1, mail b.c@d.org, file a/b_c.csv, on 2024-02-03, 1,234 items, id A77-x1"
    ) == {
        "https://a.org/x?y=1",
        "b.c@d.org",
        "a/b_c.csv",
        "2024-02-03",
        "1234",
        "a77-x1",
    }
    assert entities("In 2024 take 100 of them, the 2nd first. Open Spotify. On Monday") == set()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.lists(st.text(max_size=30), max_size=3))
def test_any_text_can_be_looked_at(text, secrets):
    for leak in leaks(text, secrets):
        assert 0 < leak.share <= 1
