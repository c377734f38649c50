"""The runner: order, limits, retries, reuse, budget and cancellation."""

import asyncio
import threading
import time

import pytest
from drawers import Drawers, Fixed, call, calls

from cleartrace.agents.protocol import RunRequest
from cleartrace.agents.runner import Progress, Runner
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.environments.inprocess import InProcess
from cleartrace.environments.protocol import EnvironmentFault
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Context, Episode, Failure, FailureKind, Outcome, StopReason, Task, Trajectory
from cleartrace.llm.protocol import BudgetExhausted, RateLimited, ServerError, TimedOut
from cleartrace.llm.retrying import Retrying, RetryPolicy
from cleartrace.llm.scripted import Scripted

TASKS = [Task(environment="drawers", id=f"d{n}", input=f"Find key {n}.") for n in range(40)]


class Agent:
    """Counts its runs and does what `act(task, seed, attempt)` says: a score, an outcome, an error to raise, a wait."""

    hash = "agent"

    def __init__(self, act=lambda task, seed, attempt: 1.0) -> None:
        self.act = act
        self.runs: list[tuple[str, int]] = []
        self.now = self.most = 0

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        attempt = self.runs.count((task.id, seed))
        self.runs.append((task.id, seed))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            said = self.act(task, seed, attempt)
            if asyncio.iscoroutine(said):
                said = await said
        finally:
            self.now -= 1
        if isinstance(said, Exception):
            raise said
        outcome = said if isinstance(said, Outcome) else Outcome(score=said)
        return Episode(trajectory=Trajectory(environment="", task_id="", agent=""), outcome=outcome)


def wanted(tasks=5, seeds=1, provider=None):
    provider = provider or Fixed("advice")
    return [RunRequest(task, seed, provider) for task in TASKS[:tasks] for seed in range(seeds)]


def run(runner, requests):
    return asyncio.run(runner.run(requests))


def kind(episode: Episode) -> FailureKind | None:
    return episode.outcome.failure.kind if episode.outcome.failure else None


async def sleeps(seconds, score=1.0):
    await asyncio.sleep(seconds)
    return score


def test_s9_every_request_yields_an_episode_in_order():
    """Whatever an agent does: wrong types, exceptions, endpoints and environments that fail, waits of any length."""
    ways = [1.0, ValueError("boom"), TimedOut("slow"), EnvironmentFault("gone"), 0.25]

    def act(task, seed, attempt):
        n = int(task.id[1:])
        return sleeps(0.02 - 0.001 * n, 0.5) if n % 6 == 5 else ways[n % 6]

    agent = Agent(act)
    requests = wanted(20)
    episodes = run(Runner(agent, concurrency=7, infra_retries=0), requests)
    assert [(one.task_id, one.trajectory.seed) for one in episodes] == [(one.task.id, one.seed) for one in requests]
    assert [one.outcome.score for one in episodes[:6]] == [1.0, 0.0, None, None, 0.25, 0.5]
    assert [kind(one) for one in episodes[1:4]] == [FailureKind.AGENT_ERROR, FailureKind.ENGINE, FailureKind.SANDBOX]
    assert all(one.trajectory.agent == "agent" and one.trajectory.context.text == "advice" for one in episodes)
    assert 1 < agent.most <= 7 and agent.now == 0


def test_r2_errors_and_timeouts_of_the_agent_score_zero_and_are_there():
    acts = {"d0": KeyError("x"), "d1": lambda: sleeps(60)}

    def act(task, seed, attempt):
        made = acts.get(task.id, 1.0)
        return made() if callable(made) else made

    episodes = run(Runner(Agent(act), time_limit_s=1), wanted(6))
    assert [one.outcome.score for one in episodes] == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    assert kind(episodes[1]) is FailureKind.TIME_LIMIT and episodes[1].trajectory.stop is StopReason.TIME_LIMIT


class Stubborn(Agent):
    """Ignores that it is cancelled."""

    async def run(self, task, context, seed):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            try:
                await asyncio.sleep(1.5)
            except asyncio.CancelledError:
                continue
        return await super().run(task, context, seed)


@pytest.mark.parametrize("place", ["session", "start", "act", "outcome"])
def test_r22_a10_a_limit_of_a_fifth_of_a_second_returns_within_one(place):
    """A sleeper of 3 s in the environment. What was done until then is kept."""
    world = Drawers((place, 3.0))
    agent = ToolLoopAgent(Scripted([calls(call("done", {"n": 3}))] * 2), InProcess(world))

    async def timed():
        started = time.monotonic()
        found = await Runner(agent, time_limit_s=0.2).run(wanted(1))
        return found[0], time.monotonic() - started

    episode, took = asyncio.run(timed())
    assert took < 1.0
    assert episode.outcome.score == 0.0 and kind(episode) is FailureKind.TIME_LIMIT
    assert episode.trajectory.turns == (place in ("act", "outcome"))
    assert episode.trajectory.stop is StopReason.TIME_LIMIT
    assert world.opened == 0 or place == "session"


@pytest.mark.parametrize("agent", [Agent(lambda *_: sleeps(3)), Stubborn()])
def test_r22_agents_that_know_no_deadline_are_cancelled_or_left(agent):
    async def timed():
        started = time.monotonic()
        found = await Runner(agent, time_limit_s=0.2).run(wanted(2))
        took = time.monotonic() - started
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait({task})
        return found, took

    episodes, took = asyncio.run(timed())
    assert took < 1.0 and [kind(one) for one in episodes] == [FailureKind.TIME_LIMIT] * 2


def test_a_run_that_ends_just_after_its_limit_scores_zero():
    episode = run(Runner(Agent(lambda *_: sleeps(0.15)), time_limit_s=0.05), wanted(1))[0]
    assert episode.outcome.score == 0.0 and kind(episode) is FailureKind.TIME_LIMIT
    assert episode.outcome.details["score_at_stop"] == 1.0


OPEN = calls(call("open", {"n": 1}))
DOWN = ServerError("HTTP 503: down")


async def hangs_and_fails(seconds=0.1):
    await asyncio.sleep(seconds)
    return TimedOut("no whole answer")


@pytest.mark.parametrize(
    "answers",
    [
        [DOWN] * 9,
        [OPEN, *[DOWN] * 9],
        [hangs_and_fails, hangs_and_fails, hangs_and_fails],
        [OPEN, lambda: hangs_and_fails(0.2), OPEN, lambda: sleeps(9, OPEN)],
    ],
    ids=["down", "goes down", "hangs", "was down for most of the time"],
)
def test_an_outage_inside_the_limit_is_nobodys_zero(answers):
    """What a failing endpoint takes from a run's wall time is no fault of the model: no score, and another attempt."""
    left = iter(answers)

    def script(_):
        answer = next(left, DOWN)
        return answer() if callable(answer) else answer

    llm = Retrying(Scripted(script), RetryPolicy(base_s=0.05))
    agent = ToolLoopAgent(llm, InProcess(Drawers()))
    runner = Runner(agent, time_limit_s=0.4, infra_retries=1, retry_wait_s=0.001)
    episode = run(runner, wanted(1))[0]
    assert episode.outcome.score is None and kind(episode) is FailureKind.ENGINE
    assert (
        episode.trajectory.stop is StopReason.ERROR and "an endpoint failed for 0." in episode.outcome.failure.message
    )
    assert episode.outcome.details["infra_retries"] == 1


@pytest.mark.parametrize(
    "answers",
    [
        [lambda: sleeps(0.05, OPEN)] * 9,
        [lambda: sleeps(9, OPEN)],
        [DOWN, lambda: sleeps(0.1, OPEN), *[lambda: sleeps(0.05, OPEN)] * 9],
    ],
    ids=["many turns", "one long turn", "after one failure"],
)
def test_a_slow_model_that_answers_reached_its_limit_of_time(answers):
    left = iter(answers)

    def script(_):
        answer = next(left)
        return answer() if callable(answer) else answer

    agent = ToolLoopAgent(Retrying(Scripted(script), RetryPolicy(base_s=0.01)), InProcess(Drawers()))
    episode = run(Runner(agent, time_limit_s=0.22), wanted(1))[0]
    assert episode.outcome.score == 0.0 and kind(episode) is FailureKind.TIME_LIMIT
    assert episode.trajectory.stop is StopReason.TIME_LIMIT and episode.outcome.details["time_limit_s"] == 0.22


def test_a10_no_thread_is_left_behind():
    before = threading.active_count()
    for fail in [None, ("start", "error"), ("act", 0.3), ("outcome", "fault")]:
        agent = ToolLoopAgent(Scripted(lambda _: calls(call("done", {"n": 3}))), InProcess(Drawers(fail)))
        run(Runner(agent, time_limit_s=0.1, infra_retries=0), wanted(4))
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.02)
    assert threading.active_count() <= before


@pytest.mark.parametrize("error", [RateLimited("429"), EnvironmentFault("gone")])
def test_infra_failures_are_tried_again_with_the_same_seed(error):
    agent = Agent(lambda task, seed, attempt: error if attempt < 2 else 1.0)
    runner = Runner(agent, infra_retries=2, retry_wait_s=0.001)
    episode = run(runner, wanted(1))[0]
    assert episode.outcome.score == 1.0 and agent.runs == [("d0", 0)] * 3
    assert episode.outcome.details["infra_retries"] == 2


def test_infra_failures_end_as_a_record_without_a_score():
    agent = Agent(lambda *_: Outcome(score=None, failure=Failure(kind=FailureKind.JUDGE, message="down")))
    episode = run(Runner(agent, infra_retries=1, retry_wait_s=0.001), wanted(1))[0]
    assert episode.outcome.score is None and kind(episode) is FailureKind.JUDGE and len(agent.runs) == 2


def test_failures_of_the_model_are_not_tried_again():
    agent = Agent(lambda *_: Outcome(score=0.0, failure=Failure(kind=FailureKind.FORMAT)))
    run(Runner(agent, infra_retries=3), wanted(1))
    assert len(agent.runs) == 1


class Broken:
    hash = "broken"

    def __init__(self, error) -> None:
        self.error, self.asked = error, 0

    async def context_for(self, task, seed):
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(("error", "asked"), [(TimedOut("slow"), 2), (ValueError("bug"), 1)])
def test_a_provider_that_fails_is_nobodys_zero(error, asked):
    provider, agent = Broken(error), Agent()
    episode = run(Runner(agent, infra_retries=1, retry_wait_s=0.001), wanted(1, provider=provider))[0]
    assert episode.outcome.score is None and kind(episode) is FailureKind.ENGINE
    assert provider.asked == asked and agent.runs == []


def test_a_context_over_the_cap_is_refused_without_a_run():
    agent = Agent()
    requests = [*wanted(1, provider=Fixed("a b c")), *wanted(1, provider=Fixed("a b"))]
    long, short = run(Runner(agent, context_cap=2, count=lambda text: len(text.split())), requests)
    assert long.outcome.score is None and "3 tokens, and 2 are allowed" in long.outcome.failure.message
    assert short.outcome.score == 1.0 and len(agent.runs) == 1


def test_a20_an_identical_run_is_not_made_twice(tmp_path):
    agent, store = Agent(lambda task, seed, attempt: sleeps(0.001)), EpisodeStore(tmp_path)
    first = run(Runner(agent, store), wanted(4, seeds=2))
    progress: list[Progress] = []
    second = run(Runner(agent, EpisodeStore(tmp_path), progress=progress.append), wanted(4, seeds=2))
    assert second == first and len(agent.runs) == 8
    assert progress[-1] == Progress(done=8, total=8, reused=8, lost=0)
    run(Runner(agent, store, fresh=True), wanted(1))
    assert len(agent.runs) == 9


def test_a20_identical_requests_of_one_batch_are_one_run(tmp_path):
    agent = Agent(lambda task, seed, attempt: sleeps(0.01))
    episodes = run(Runner(agent, EpisodeStore(tmp_path)), wanted(1) * 5)
    assert len(agent.runs) == 1 and episodes == episodes[:1] * 5


def test_a20_a_changed_context_runs_only_the_tasks_it_reaches(tmp_path):
    agent, store = Agent(), EpisodeStore(tmp_path)

    class PerTask:
        def __init__(self, changed):
            self.hash, self.changed = f"state{changed}", changed

        async def context_for(self, task, seed):
            text = f"{task.id} {'new' if task.id in self.changed else 'old'}"
            return Context(text=text, provider_hash=self.hash)

    run(Runner(agent, store), wanted(5, provider=PerTask(())))
    run(Runner(agent, store), wanted(5, provider=PerTask(("d2", "d4"))))
    assert [task for task, _ in agent.runs[5:]] == ["d2", "d4"]


def test_a20_what_others_spoiled_is_made_again_and_what_the_model_did_is_not(tmp_path):
    broken = Agent(lambda task, seed, attempt: TimedOut("x") if task.id == "d0" else ValueError("mine"))
    run(Runner(broken, EpisodeStore(tmp_path), infra_retries=0), wanted(2))
    well = Agent()
    episodes = run(Runner(well, EpisodeStore(tmp_path)), wanted(2))
    assert [task for task, _ in well.runs] == ["d0"]
    assert [one.outcome.score for one in episodes] == [1.0, 0.0]


def test_a20_a_run_that_met_a_limit_of_time_is_made_again_under_a_longer_one(tmp_path):
    agent = Agent(lambda task, seed, attempt: sleeps(0.5))
    store = EpisodeStore(tmp_path)
    for limit_s, score, runs in [(0.05, 0.0, 1), (0.04, 0.0, 1), (None, 1.0, 2), (0.05, 1.0, 2)]:
        episode = run(Runner(agent, store, time_limit_s=limit_s), wanted(1))[0]
        assert (episode.outcome.score, len(agent.runs)) == (score, runs)


def test_the_end_of_the_budget_stops_cleanly_and_loses_nothing(tmp_path):
    """Runs at work are let finish, none is begun, and what was finished is stored."""

    def act(task, seed, attempt):
        return BudgetExhausted("10 of 10 calls") if task.id == "d3" else sleeps(0.02)

    agent, store = Agent(act), EpisodeStore(tmp_path)
    with pytest.raises(BudgetExhausted, match="10 of 10 calls"):
        run(Runner(agent, store, concurrency=4), wanted(20))
    assert [task for task, _ in agent.runs] == ["d0", "d1", "d2", "d3"]
    assert [row.task for row in store.find()] == ["d0", "d1", "d2"] and agent.now == 0


def test_an_agent_that_reports_the_end_of_the_budget_stops_the_runner_too():
    agent = ToolLoopAgent(Scripted([BudgetExhausted("$5 of $5")]), InProcess(Drawers(), threads=False))
    with pytest.raises(BudgetExhausted, match=r"used up: \$5 of \$5$"):
        run(Runner(agent), wanted(1))


def test_cancelling_ends_what_was_started_and_keeps_what_was_finished(tmp_path):
    agent = Agent(lambda task, seed, attempt: sleeps(0.001 if task.id < "d2" else 60))
    store = EpisodeStore(tmp_path)

    async def cancelled():
        task = asyncio.ensure_future(Runner(agent, store, concurrency=3).run(wanted(9)))
        while len(store) < 2:
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(cancelled()) == set()
    assert agent.now == 0 and [row.task for row in store.find()] == ["d0", "d1"]


def test_an_error_of_the_callers_own_ends_what_was_started():
    agent = Agent(lambda task, seed, attempt: sleeps(0.001 if task.id == "d0" else 60))

    def progress(_):
        raise RuntimeError("the screen is gone")

    with pytest.raises(RuntimeError, match="screen"):
        run(Runner(agent, progress=progress), wanted(5))
    assert agent.now == 0


def test_two_batches_share_the_places_of_one_runner():
    agent = Agent(lambda *_: sleeps(0.005))
    runner = Runner(agent, concurrency=3)

    async def both():
        return await asyncio.gather(runner.run(wanted(6)), runner.run(wanted(6)))

    asyncio.run(both())
    asyncio.run(both())
    assert agent.most == 3


def test_an_agent_that_never_waits_lets_others_through():
    agent = Agent(lambda *_: time.sleep(0.002) or 1.0)

    async def ticks():
        batch = asyncio.ensure_future(Runner(agent).run(wanted(40)))
        n = 0
        while not batch.done():
            n += 1
            await asyncio.sleep(0)
        return n

    assert asyncio.run(ticks()) > 2


def test_settings_without_sense_are_refused():
    for wrong in ({"concurrency": 0}, {"infra_retries": -1}, {"time_limit_s": 0.0}):
        with pytest.raises(ValueError, match="at least"):
            Runner(Agent(), **wrong)


def test_a_run_costs_the_runner_little():
    """The study on the rule world makes a million runs: below 150 microseconds of CPU for each."""
    requests = wanted(40) * 50
    episode = Episode(trajectory=Trajectory(environment="e", task_id="t", agent="a"), outcome=Outcome(score=1.0))

    class Trivial:
        hash = "trivial"

        async def run(self, task, context, seed):
            return episode

    for limit_s in (None, 60.0):
        started = time.process_time()
        run(Runner(Trivial(), time_limit_s=limit_s), requests)
        assert (time.process_time() - started) / len(requests) < 150e-6
