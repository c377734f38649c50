"""The tool loop: what the model sees, what is run, and who is to blame for what goes wrong."""

import asyncio
import time

import pytest
from drawers import DONE, Drawers, Fixed, call, calls

from cleartrace.agents.calls import calls_in_text
from cleartrace.agents.settings import CallStyle, Limits
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.environments.inprocess import InProcess
from cleartrace.episodes.types import Context, FailureKind, PartKind, PartRef, StepKind, StopReason, Usage
from cleartrace.llm.protocol import BudgetExhausted, Finish, Message, Refused, Rejected, Reply, Thinking, TimedOut
from cleartrace.llm.scripted import Scripted
from cleartrace.tools.result import Blame


def agent(script, world=None, threads=False, **options) -> ToolLoopAgent:
    return ToolLoopAgent(Scripted(script), InProcess(world or Drawers(), threads=threads), **options)


def run(runner: ToolLoopAgent, context=None, seed=5):
    return asyncio.run(runner.run(Drawers().tasks()[0], context or Context(), seed))


def requests(runner: ToolLoopAgent):
    assert isinstance(runner.llm, Scripted)
    return runner.llm.requests


OPEN_1 = call("open", {"n": 1}, "a")
OPEN_3 = call("open", {"n": 3}, "b")
SAY_3 = call("done", {"n": 3}, "c")


def test_a_task_is_solved_and_every_step_is_kept():
    seen = calls(OPEN_3, text="Looking.", thought="Which one?")
    loop = agent([seen, calls(SAY_3, text="It is in 3.")])
    episode = run(loop)
    trajectory = episode.trajectory
    assert episode.outcome.score == 1.0 and episode.outcome.failure is None
    assert [(step.kind.value, step.name) for step in trajectory.steps] == [
        ("input", "system"),
        ("input", "user"),
        ("thought", ""),
        ("message", ""),
        ("call", "open"),
        ("result", "open"),
        ("message", ""),
        ("call", "done"),
        ("result", "done"),
    ]
    assert trajectory.steps[1].text == "Find key 0.\n\nThere are 5 drawers."
    assert (trajectory.turns, trajectory.output, trajectory.stop) == (2, "It is in 3.", StopReason.FINISHED)
    assert trajectory.usage.calls == 2 and trajectory.agent == loop.hash and trajectory.seconds >= 0
    assert requests(loop)[1].messages[2] == seen
    assert requests(loop)[1].messages[3] == Message(role="tool", content="drawer 3: key", call_id="b")


def test_settings_and_seed_reach_every_request():
    loop = agent(
        [calls(OPEN_1), calls(SAY_3)], temperature=0.25, thinking=Thinking.LOW, limits=Limits(max_output_tokens=77)
    )
    run(loop, seed=11)
    for request in requests(loop):
        assert (request.seed, request.temperature, request.max_tokens) == (11, 0.25, 77)
        assert request.thinking is Thinking.LOW and [tool.name for tool in request.tools] == ["open", "done"]


def test_the_context_stands_after_the_rules_and_is_kept_once():
    loop = agent([calls(SAY_3)], instructions="Be quick.")
    trajectory = run(loop, Context(text="[s-1] Try drawer 3.")).trajectory
    assert requests(loop)[0].messages[0].content == "RULES: be brief.\n\nBe quick.\n\n[s-1] Try drawer 3."
    assert trajectory.context.text == "[s-1] Try drawer 3."
    assert not any("s-1" in step.text for step in trajectory.steps)


def test_r25_all_parallel_calls_run_in_order():
    world = Drawers()
    sessions = []
    make = world.session
    world.session = lambda task_id, seed: sessions.append(make(task_id, seed)) or sessions[-1]
    three = calls(call("open", {"n": 2}, "x"), call("open", {"n": 0}, "y"), call("open", {"n": 3}, "z"))
    loop = agent([three, calls(SAY_3)], world)
    episode = run(loop)
    assert sessions[0].seen == [("open", 2), ("open", 0), ("open", 3), ("done", 3)]
    answers = requests(loop)[1].messages[-3:]
    assert [(one.call_id, one.content) for one in answers] == [
        ("x", "drawer 2: dust"),
        ("y", "drawer 0: dust"),
        ("z", "drawer 3: key"),
    ]
    assert [step.call_id for step in episode.trajectory.steps if step.kind is StepKind.RESULT] == ["x", "y", "z", "c"]


def test_calls_that_cannot_be_run_are_answered_in_their_place():
    mixed = calls(call("fly", {}, "x"), OPEN_3, call("open", None, "z", raw="{n: "))
    loop = agent([mixed, calls(SAY_3)])
    episode = run(loop)
    answers = requests(loop)[1].messages[-3:]
    assert [(one.call_id, one.is_error) for one in answers] == [("x", True), ("b", False), ("z", True)]
    assert "open, done" in answers[0].content and "not a JSON object: {n: " in answers[2].content
    assert episode.outcome.score == 1.0


def test_a_message_goes_to_the_environment():
    loop = agent(["Where is it?", calls(SAY_3)])
    assert run(loop).outcome.score == 1.0
    assert requests(loop)[1].messages[-1] == Message(role="user", content="Talking opens no drawer.")


def test_long_answers_of_tools_are_cut_and_say_so():
    loop = agent([calls(OPEN_3), calls(SAY_3)], limits=Limits(tool_output_chars=5))
    run(loop)
    assert requests(loop)[1].messages[-1].content == "drawe\n[cut: 5 of 13 characters are shown]"


def test_half_a_character_of_a_model_is_no_error():
    episode = run(agent([calls(SAY_3, text="half \ud83d")]))
    assert episode.trajectory.output == "half \ufffd" and episode.outcome.score == 1.0


@pytest.mark.parametrize("script", [[calls(OPEN_1), calls(SAY_3)], [""] * 3, [calls(OPEN_1)] * 4])
def test_a4_nothing_of_the_outcome_reaches_the_agent_or_its_record(script):
    loop = agent(script, limits=Limits(max_turns=4))
    episode = run(loop)
    assert episode.outcome.feedback == "the key was in 3"
    seen = "".join(request.canonical() for request in requests(loop)) + episode.trajectory.canonical()
    assert "the key was in 3" not in seen and "score" not in seen


# The model's own failures: they score 0 and may be learned from.

BAD = calls(call("open", None, "z", raw="{"))


@pytest.mark.parametrize("bad", [BAD, calls(call("fly", {})), "", "  \n"])
def test_r19_malformed_turns_end_in_a_failure_of_format_that_counts(bad):
    loop = agent([bad] * 3)
    outcome = run(loop).outcome
    assert outcome.failure is not None and outcome.failure.kind is FailureKind.FORMAT
    assert outcome.score == 0.0 and outcome.scored and outcome.failure.kind.blame is Blame.MODEL
    assert outcome.feedback == "the key was in 3"
    assert len(requests(loop)) == 3


def test_malformed_turns_are_counted_one_after_the_other():
    assert run(agent([BAD, BAD, calls(OPEN_1), BAD, BAD, calls(SAY_3)])).outcome.score == 1.0


def test_replies_that_are_cut_off_end_at_the_limit_of_tokens():
    cut = Reply(message=Message(role="assistant", content="Let me thi"), finish=Finish.LENGTH)
    loop = agent([cut] * 3)
    episode = run(loop)
    assert episode.outcome.failure is not None and episode.outcome.failure.kind is FailureKind.TOKEN_LIMIT
    assert episode.outcome.score == 0.0 and episode.trajectory.stop is StopReason.TOKEN_LIMIT
    assert "cut off" in requests(loop)[1].messages[-1].content


def test_turns_and_tokens_have_limits():
    episode = run(agent([calls(OPEN_1)] * 9, limits=Limits(max_turns=4)))
    assert episode.trajectory.stop is StopReason.STEP_LIMIT and episode.trajectory.turns == 4
    assert episode.outcome.score == 0.0 and episode.outcome.details["score_at_stop"] == 0.0
    said = Reply(message=calls(OPEN_1), usage=Usage(calls=1, output_tokens=60), finish=Finish.CALLS)
    episode = run(agent([said] * 9, limits=Limits(max_run_tokens=100)))
    assert episode.trajectory.stop is StopReason.TOKEN_LIMIT and episode.trajectory.turns == 2


@pytest.mark.parametrize("refusal", [Refused("no"), Reply(message=Message(role="assistant"), finish=Finish.FILTERED)])
def test_a_refusal_counts(refusal):
    outcome = run(agent([refusal])).outcome
    assert outcome.failure is not None and outcome.failure.kind is FailureKind.REFUSAL and outcome.score == 0.0


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="max_turns is 0"):
        Limits(max_turns=0)


# Failures of others: no score.


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimedOut("slow"), FailureKind.ENGINE),
        (Rejected("bad key"), FailureKind.ENGINE),
        (BudgetExhausted("5 of 5 calls"), FailureKind.BUDGET),
        (ZeroDivisionError("a bug of the client"), FailureKind.ENGINE),
    ],
)
def test_an_endpoint_that_fails_is_nobodys_zero(error, kind):
    answers = iter([calls(OPEN_1)])

    def script(request):
        for answer in answers:
            return answer
        raise error

    episode = run(agent(script))
    assert episode.outcome.failure is not None and episode.outcome.failure.kind is kind
    assert episode.outcome.score is None and episode.trajectory.turns == 1
    assert episode.trajectory.stop is StopReason.ERROR


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("how", ["fault", "error"])
@pytest.mark.parametrize("place", ["session", "start", "act", "outcome"])
def test_r23_faults_leave_no_session_open_and_build_once(place, how, threads):
    world = Drawers((place, how))
    episode = run(agent([calls(OPEN_1), calls(SAY_3)], world, threads))
    assert episode.outcome.failure is not None and episode.outcome.failure.kind is FailureKind.SANDBOX
    assert episode.outcome.score is None and "broke" in episode.outcome.failure.message
    assert world.opened == 0 and world.built == (place != "session")


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("script", [[calls(SAY_3)], [BAD] * 3, [TimedOut("slow")], []])
def test_r23_sessions_are_closed_however_a_run_ends(script, threads):
    world = Drawers()
    run(agent(script, world, threads))
    assert world.opened == 0 and world.built == 1


@pytest.mark.parametrize("threads", [False, True])
def test_r23_cancelling_closes_the_session(threads):
    world = Drawers()

    async def never(request):
        await asyncio.sleep(60)

    async def cancelled():
        task = asyncio.ensure_future(agent(never, world, threads).run(world.tasks()[0], Context(), 0))
        while not world.opened:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert world.opened == 0 and world.built == 1


def test_a_close_that_fails_costs_no_score():
    assert run(agent([calls(SAY_3)], Drawers(("close", "error")))).outcome.score == 1.0


def test_a_session_that_is_left_while_it_starts_is_closed_when_it_has():
    world = Drawers(("session", 0.3))

    async def left():
        async with InProcess(world).session("d0", 0) as session:
            task = asyncio.ensure_future(session.start())
            await asyncio.sleep(0.05)
            task.cancel()

    asyncio.run(left())
    end = time.monotonic() + 5
    while (not world.built or world.opened) and time.monotonic() < end:
        time.sleep(0.02)
    assert world.built == 1 and world.opened == 0


# Calls in plain text.


def test_models_without_tools_write_their_calls_as_text():
    block = '```tool\n{"name": "open", "arguments": {"n": %d}}\n```\n'
    first = "I look.\n" + block % 3 + block % 1
    loop = agent([first, '```json\n{"name": "done", "arguments": {"n": 3}}'], style=CallStyle.TEXT)
    episode = run(loop, Context(text="ADVICE"))
    assert episode.outcome.score == 1.0
    asked = requests(loop)
    system = asked[0].messages[0].content
    assert asked[0].tools == () and '"name": "open"' in system and system.endswith("ADVICE")
    assert asked[1].messages[-1].role == "user"
    assert asked[1].messages[-1].content == (
        "Answer to call 1, open:\ndrawer 3: key\n\nAnswer to call 2, open:\ndrawer 1: dust"
    )
    assert [step.call_id for step in episode.trajectory.steps if step.kind is StepKind.CALL] == ["1.1", "1.2", "2.1"]


TOOLS = {"done": DONE}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no call", []),
        ('```json\n{"some": "data"}\n```', []),
        ('```json\n{"name": "Bob"}\n```', []),
        ('```\n{"name": "done", "arguments": {"n": 1}}\n```', [("done", {"n": 1})]),
        ('```tool\n[{"name": "done"}, {"name": "x", "parameters": {"n": 2}}]\n```', [("done", {}), ("x", {"n": 2})]),
        ('```tool\n{"name": "done", "arguments": "{\\"n\\": 1}"}\n```', [("done", {"n": 1})]),
        ('```tool_call\n{"name": "done"}\n{"name": "done"}\n```', [("done", {}), ("done", {})]),
        ('```tool\n{"name": "done", "arguments": [1]}\n```', [("done", None)]),
        ("```tool\n{broken\n```", [("", None)]),
        ('```tool\n{"name": 5}\n```', [("", None)]),
    ],
)
def test_calls_are_read_from_fenced_blocks(text, found):
    assert [(one.name, one.arguments) for one in calls_in_text(text, TOOLS, 1)] == found


# Citations and seams.


def test_r5_a_citation_resolves_to_the_entry_and_the_revision_that_was_shown():
    parts = (PartRef(kind=PartKind.ENTRY, id="s-1", revision=4), PartRef(kind=PartKind.ENTRY, id="s-2"))
    loop = agent([calls(OPEN_3, text="As [s-1] says, and [s-77]."), calls(SAY_3)])
    trajectory = run(loop, Context(text="[s-1] Look.\n[s-2] Wait.", parts=parts)).trajectory
    assert "[s-1] Look." in requests(loop)[0].messages[0].content
    assert trajectory.citations == parts[:1] and trajectory.unknown_citations == ("s-77",)


def test_a2_another_provider_changes_the_context_and_nothing_else():
    """The golden difference of two records: one key."""

    def record(provider: Fixed) -> dict:
        seen = asyncio.run(provider.context_for(Drawers().tasks()[0], 0))
        script = [Reply(message=calls(OPEN_3), usage=Usage(calls=1)), Reply(message=calls(SAY_3))]
        return run(agent(script), seen).trajectory.model_dump(mode="json") | {"seconds": 0.0}

    part = PartRef(kind=PartKind.ROW, id="r1")
    golden = record(Fixed())
    for provider in (Fixed("[s-1] Try 3."), Fixed("row", parts=(part,)), Fixed(abstained=True)):
        other = record(provider)
        assert {key for key in golden.keys() | other.keys() if golden.get(key) != other.get(key)} == {"context"}


def test_the_hash_follows_whatever_changes_what_an_agent_does():
    def made(model="m", world=None, options=None, **settings):
        host = InProcess(world or Drawers(), options)
        return ToolLoopAgent(Scripted([], model), host, **settings).hash

    others = [
        made(),
        made(model="n"),
        made(options={"n": 1}),
        made(limits=Limits(max_turns=3)),
        made(temperature=0.0),
        made(thinking=Thinking.HIGH),
        made(style=CallStyle.TEXT),
        made(instructions="Hurry."),
    ]
    assert len(set(others)) == len(others) and made() == made()
