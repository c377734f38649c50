"""A26: what a guidance earns, what is run for it, and what happens when it cannot be run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleartrace.learn.clear.reward.service import AskError
from cleartrace.learn.clear.reward.types import Ask
from cleartrace.llm.tokens import count_tokens
from tests.learn.clear.reward.samples import OTHER, TASK, Puppet, ask, awaited, service


@pytest.fixture
def agent() -> Puppet:
    return Puppet()


@awaited
async def test_the_published_reward_is_the_agents_score(tmp_path, agent):
    scorer = service(tmp_path, agent)
    good, bad = await scorer.grade(ask("Say good.")), await scorer.grade(ask("Say bad."))
    assert (good.reward, good.score, good.passed, good.baseline) == (1.0, 1.0, True, None)
    assert (bad.reward, bad.score, bad.passed, bad.ungraded) == (0.0, 0.0, False, False)
    assert good.said == "Say good." and good.tokens == count_tokens("Say good.")
    assert [text for _, text, _ in agent.runs] == ["Say good.", "Say bad."]


@awaited
async def test_a26_all_guidances_of_a_prompt_and_step_run_under_one_seed(tmp_path, agent):
    scorer = service(tmp_path, agent, runs=2, subtract_baseline=True)
    await asyncio.gather(*(scorer.grade(ask(f"guidance {n}", step=step)) for n in range(4) for step in (1, 2)))
    seeds = {step: {seed for _, text, seed in agent.runs if text} for step in (1, 2)}
    assert len(seeds[1]) == 4, "two steps of two seeds"
    by_text = {}
    for _, text, seed in agent.runs:
        by_text.setdefault(text, set()).add(seed)
    assert all(found == by_text[""] for found in by_text.values())


@awaited
async def test_a26_the_run_without_guidance_is_made_once_and_then_known(tmp_path, agent):
    scorer = service(tmp_path, agent, subtract_baseline=True, token_cost=0.01)
    first, *others = await asyncio.gather(*(scorer.grade(ask(f"good {n}")) for n in range(6)))
    assert [text for _, text, _ in agent.runs].count("") == 1
    assert first.baseline == 0.0 and first.reward == pytest.approx(1.0 - 0.01 * first.tokens)
    assert (first.runs, first.hits) == (2, 0) and [one.hits for one in others] == [1] * 5
    solved = await scorer.grade(ask("good advice", task=OTHER))
    assert solved.score == solved.baseline == 1.0 and solved.reward == pytest.approx(-0.01 * solved.tokens)


@pytest.mark.parametrize("reply", ["", "NONE", " none.\n", "**None**"])
@awaited
async def test_abstaining_is_the_run_without_guidance_and_earns_0_as_gain(tmp_path, agent, reply):
    scorer = service(tmp_path, agent, subtract_baseline=True, token_cost=0.01)
    for task, score in ((TASK, 0.0), (OTHER, 1.0)):
        graded = await scorer.grade(ask(reply, task=task))
        assert graded.abstained and graded.reward == 0.0 and graded.tokens == 0
        assert graded.score == graded.baseline == score and graded.runs == 1
    published = service(tmp_path, agent)
    assert (await published.grade(ask(reply, task=OTHER))).reward == 1.0, "as published it earns what the agent scores"


@awaited
async def test_a26_an_identical_run_is_never_made_twice_over_restarts(tmp_path, agent):
    again = Puppet()
    for puppet in (agent, again):
        scorer = service(tmp_path, puppet)
        graded = await asyncio.gather(*(scorer.grade(ask("good")) for _ in range(5)))
        assert all(one.reward == 1.0 for one in graded)
    assert len(agent.runs) == 1 and again.runs == []
    assert (await service(tmp_path, again).grade(ask("good", step=2))).hits == 0, "another step, other seeds"


@awaited
async def test_a26_concurrency_is_bounded_over_all_requests(tmp_path, agent):
    scorer = service(tmp_path, agent, concurrency=3)
    graded = await asyncio.gather(*(scorer.grade(ask(f"good {n}")) for n in range(12)))
    assert len(agent.runs) == 12 and agent.most == 3 and all(one.score == 1.0 for one in graded)
    assert scorer.stats.graded == scorer.stats.runs == 12


@awaited
async def test_a26_a_spoiled_run_is_ungraded_with_its_blame_and_tried_again_later(tmp_path, agent):
    scorer = service(tmp_path, agent)
    graded = await scorer.grade(ask("broken"))
    assert graded.ungraded and graded.score is None and graded.reward == 0.0
    assert graded.error.startswith("sandbox: EnvironmentFault: the world is away") and graded.blame == "sandbox"
    assert len(agent.runs) == 2, "tried again at once"
    assert scorer.stats.failures == {"sandbox": 1} and scorer.stats.ungraded == 1
    await scorer.grade(ask("broken"))
    assert len(agent.runs) == 4, "what has no score is not kept as known"


@awaited
async def test_a_run_that_succeeds_at_the_second_try_is_graded(tmp_path, agent):
    assert (await service(tmp_path, agent).grade(ask("weak good"))).reward == 1.0
    assert len(agent.runs) == 2


@awaited
async def test_a26_an_agent_over_its_time_limit_scores_0_and_a_late_service_grades_nothing(tmp_path, agent):
    own = await service(tmp_path, agent, time_limit_s=0.1).grade(ask("slow"))
    assert not own.ungraded and own.score == 0.0, "the limit of a run is the agent's own"
    late = service(tmp_path / "other", agent, deadline_s=0.1)
    graded = await late.grade(ask("slow"))
    assert graded.ungraded and graded.error.startswith("deadline: not graded within 0.1 s")
    assert agent.now == 0 and agent.ended_early == 2, "no run goes on"
    assert late.stats.failures == {"deadline": 1}


@awaited
async def test_a26_cancelling_ends_the_run(tmp_path, agent):
    scorer = service(tmp_path, agent)
    grading = asyncio.ensure_future(scorer.grade(ask("slow")))
    while not agent.now:
        await asyncio.sleep(0.01)
    grading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await grading
    assert agent.now == 0 and scorer.stats.cancelled == 1
    assert (await scorer.grade(ask("good"))).reward == 1.0, "and frees its place"


@awaited
async def test_what_is_longer_than_the_cap_is_cut_as_in_serving(tmp_path, agent):
    graded = await service(tmp_path, agent, cap=4).grade(ask("Be good.\nAnd much more than that, if you please."))
    assert graded.cut and graded.said == "Be good." and agent.runs[0][1] == "Be good."


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"id": "other"}, "no task other"), ({"environment": "moon"}, "of moon"), ({"input": "Pay!"}, "other options")],
)
@awaited
async def test_rows_of_another_environment_are_refused(tmp_path, agent, changed, words):
    scorer = service(tmp_path, agent)
    wrong = Ask(task=TASK.model_copy(update=changed), guidance="good", step=1)
    with pytest.raises(AskError, match=words):
        await scorer.grade(wrong)
    assert agent.runs == [] and scorer.stats.refused == 1


@awaited
async def test_seeds_that_change_with_the_step_need_one(tmp_path: Path, agent):
    with pytest.raises(AskError, match="seed_pool"):
        await service(tmp_path, agent).grade(ask("good", step=None))
    assert (await service(tmp_path, agent, seed_pool=1).grade(ask("good", step=None))).reward == 1.0
