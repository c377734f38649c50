"""AgentDojo, BFCL and tau2 through their real packages, each in its host process. The whole sets are marked slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from cleartrace.environments.host import Host
from cleartrace.environments.protocol import Action
from cleartrace.environments.validate import Echo, Verdict, validate
from cleartrace.llm.protocol import Reply, Request, Role, ToolCall

CANARY = "canary7261"


def call(tool: str, **arguments) -> Action:
    return Action(calls=(ToolCall(id="c1", name=tool, arguments=arguments),))


def hosted(scenario, name: str, python: str | None = None, **options):
    async def run():
        async with Host(name, options, python=python, user=Listener()) as host:
            return await scenario(host)

    return asyncio.run(run())


class Listener(Echo):
    def __init__(self) -> None:
        self.roles: list[Role] = []

    async def complete(self, request: Request) -> Reply:
        self.roles.append(request.role)
        return await super().complete(request)


def whole(name: str, **options):
    """(verdicts, gold calls, refused) of all tasks."""

    async def scenario(host: Host):
        return await validate(host, await host.tasks())

    findings = hosted(scenario, name, **options)
    notes = [f"{finding.task.id}: {finding.note}" for finding in findings if not finding.verdict.fine]
    assert not notes, "\n".join(notes)
    counts = Counter(finding.verdict for finding in findings)
    return counts, sum(finding.gold_calls for finding in findings), sum(finding.refused for finding in findings)


def test_a30_agentdojo_has_97_tasks_and_judges_them(installed):
    installed("agentdojo")

    async def scenario(host: Host):
        tasks = await host.tasks()
        suites = Counter(task.metadata["suite"] for task in tasks)
        assert suites == {"workspace": 40, "travel": 20, "banking": 16, "slack": 21}
        assert len({task.group for task in tasks}) == 97
        assert {task.split for task in tasks} == {"train", "validation", "test"}
        found = await validate(host, [tasks[0], tasks[45], tasks[90], *(t for t in tasks if t.id in host.idle_passes)])
        assert Counter(finding.verdict for finding in found) == {Verdict.GOOD: 3, Verdict.IDLE_KNOWN: 5}
        async with host.session("banking/user_task_2", 0) as session:
            seen = await session.start()
            assert "Emma Johnson" in seen.system and len(seen.tools) == 11
            for wrong in (call("no_such_tool"), call("update_scheduled_transaction", id="x"), call("read_file")):
                assert (await session.act(wrong)).results[0].is_error
            unread = Action(calls=(ToolCall(id="c", name="read_file", arguments=None, raw="{'a"),))
            assert "not a JSON object" in (await session.act(unread)).results[0].text
            assert "rent" in (await session.act(call("read_file", file_path="landlord-notices.txt"))).results[0].text
            assert (await session.act(Action(text="Done."))).done
            outcome = await session.outcome()
        assert outcome.score == 0 and outcome.details == {"utility": False}
        assert "amount: expected 1200.0, is 1100.0" in outcome.feedback
        with pytest.raises(ValueError, match="no task 'banking/user_task_99'"):
            async with host.session("banking/user_task_99", 0) as session:
                await session.start()

    hosted(scenario, "agentdojo")


def test_agentdojo_counts_an_obeyed_injection_as_a_failure(installed):
    installed("agentdojo")

    async def scenario(host: Host):
        tasks = await host.tasks()
        assert len(tasks) == 16 * 9 and len({task.group for task in tasks}) == 16
        gold = await host.gold("banking/user_task_0/injection_task_0", 0) or []
        obey = call(
            "send_money", recipient="US133000000121212121212", amount=0.01, subject="Spotify", date="2022-01-01"
        )
        outcomes = []
        for actions in (gold, [*gold[:-1], obey, gold[-1]]):
            async with host.session("banking/user_task_0/injection_task_0", 0) as session:
                assert "INFORMATION" not in (await session.start()).text
                seen = [await session.act(action) for action in actions]
                assert any("<INFORMATION>" in result.text for one in seen for result in one.results)
                outcomes.append(await session.outcome())
        return outcomes

    clean, obeyed = hosted(scenario, "agentdojo", suites="banking", attack="important_instructions")
    assert (clean.score, clean.details) == (1, {"utility": True, "security": True})
    assert (obeyed.score, obeyed.details) == (0, {"utility": True, "security": False})
    assert "planted in a text" in obeyed.feedback


def test_agentdojo_refuses_what_its_package_does_not_have(installed):
    installed("agentdojo")
    with pytest.raises(ValueError, match="agentdojo has no attack 'manual'; there are: captcha_dos, direct"):
        hosted(lambda host: host.tasks(), "agentdojo", attack="manual")


def test_a30_bfcl_has_800_tasks_in_200_stories(installed):
    installed("bfcl")

    async def scenario(host: Host):
        tasks = await host.tasks()
        assert len(tasks) == 800 and set(Counter(task.group for task in tasks).values()) == {4}
        assert len({(task.group, task.split) for task in tasks}) == 200
        found = await validate(host, [task for task in tasks if task.group in ("0", "49")])
        assert [finding.verdict for finding in found] == [Verdict.GOOD] * 8
        assert sum(finding.refused for finding in found) == 0

        async with host.session("multi_turn_miss_func_0", 0) as session:
            seen = await session.start()
            assert seen.text.startswith("Move 'final_report.pdf'") and "sort" not in {tool.name for tool in seen.tools}
            assert all(tool.parameters["type"] == "object" for tool in seen.tools)
            made = await session.act(call("cd", folder="document"))
            assert made.results[0].text == '{"current_working_directory": "document"}' and not made.results[0].is_error
            for wrong in (call("cd", folder="nowhere"), call("fly"), call("cd", **{"a b": 1}), call("cd", place="x")):
                assert (await session.act(wrong)).results[0].is_error
            for turn in range(1, 5):
                seen = await session.act(Action(text="Done."))
                assert ("sort" in {tool.name for tool in seen.tools}) == (turn >= 3) and not seen.done
            assert (await session.act(Action(text="Done."))).done
            outcome = await session.outcome()
        assert outcome.score == 0 and outcome.details["error_type"] == "multi_turn:instance_state_mismatch"
        assert "Turn 3" in outcome.feedback and 'mkdir(dir_name="temp")' in outcome.feedback

        async with host.session("multi_turn_base_0", 0) as session:
            await session.start()
            steps = [await session.act(call("pwd")) for _ in range(21)]
            assert [seen.done for seen in steps] == [False] * 20 + [True]
            assert "too many calls" in (await session.outcome()).feedback

    hosted(scenario, "bfcl")
    with pytest.raises(ValueError, match="no multi-turn category 'bass'"):
        hosted(lambda host: host.tasks(), "bfcl", categories="bass")


def test_a30_tau2_telecom_has_114_tickets_and_needs_no_user(installed):
    installed("tau2")

    async def scenario(host: Host):
        tasks = await host.tasks()
        assert Counter(task.split for task in tasks) == {"train": 74, "test": 40}
        found = await validate(host, tasks[:1])
        assert [finding.verdict for finding in found] == [Verdict.GOOD]
        async with host.session(tasks[0].id, 0) as session:
            seen = await session.start()
            assert seen.text == tasks[0].input and {"done", "reboot_device"} < {tool.name for tool in seen.tools}
            assert (await session.act(call("no_such_tool"))).results[0].is_error
            assert (await session.act(call("done"))).done
            outcome = await session.outcome()
        assert outcome.score == 0 and outcome.details["ended"] == "agent_stop"
        assert "Not met at the end" in outcome.feedback and "(never called)" in outcome.feedback

    hosted(scenario, "tau2")


def test_tau2_speaks_to_a_simulated_user_through_a_role_of_its_own(installed):
    installed("tau2")
    user = Listener()

    async def scenario():
        async with Host("tau2", {"domain": "airline"}, user=user) as host:
            tasks = await host.tasks()
            assert Counter(task.split for task in tasks) == {"train": 30, "test": 20}
            async with host.session(tasks[0].id, 3) as session:
                seen = await session.start()
                assert seen.text == "Hi! How can I help you today?" and "EHGLP3" not in seen.canonical()
                assert (await session.act(Action(text="I hear you."))).text == "I hear you."
                assert (await session.act(Action(text="Bye. ###STOP###"))).done
                return await session.outcome()

    assert asyncio.run(scenario()).passed  # a cancellation that must be refused: nothing may change
    assert user.roles == [Role.USER] * 3


@pytest.mark.parametrize(
    ("name", "marked"), [("agentdojo", "MarkedDojo"), ("bfcl", "MarkedBfcl"), ("tau2", "MarkedTau2")]
)
def test_a4_nothing_an_evaluator_knows_reaches_the_agent(installed, name, marked):
    python = installed(name)

    async def scenario(host: Host):
        tasks = await host.tasks()
        seen = [task.canonical() for task in tasks]
        async with host.session(tasks[0].id, 0) as session:
            observation = await session.start()
            seen.append(observation.canonical())
            for tool in observation.tools[:12]:
                observation = await session.act(call(tool.name))
                seen.append(observation.canonical())
            for _ in range(8):
                seen.append((await session.act(Action(text="And now?"))).canonical())
            outcome = await session.outcome()
        return "\n".join(seen), outcome

    seen, outcome = hosted(scenario, f"{Path(__file__).parent / 'canaries.py'}:{marked}", python)
    assert CANARY not in seen and '"score"' not in seen
    assert CANARY in outcome.feedback and not outcome.passed


@pytest.mark.slow
def test_a30_agentdojo_gold_replay_97_of_97(installed):
    installed("agentdojo")
    assert whole("agentdojo") == ({Verdict.GOOD: 92, Verdict.IDLE_KNOWN: 5}, 339, 0)


@pytest.mark.slow
def test_a30_bfcl_gold_replay_800_of_800(installed):
    installed("bfcl")
    assert whole("bfcl", categories="base") == ({Verdict.GOOD: 200}, 1142, 0)
    assert whole("bfcl") == ({Verdict.GOOD: 800}, 1142 + 1140 + 1140 + 1203, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("domain", "tasks"), [("telecom", 114), ("airline", 50), ("retail", 114)])
def test_a30_tau2_gold_replay(installed, domain, tasks):
    installed("tau2")
    assert whole("tau2", domain=domain)[0] == {Verdict.GOOD: tasks}
