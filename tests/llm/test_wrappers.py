"""Retries, rate and concurrency, ledger and budget (A9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.episodes.types import Usage
from cleartrace.llm.budget import Budget, Limits
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.limited import Limited, Rate
from cleartrace.llm.metered import UNKNOWN_OUTPUT, Metered, Price, largest, read_prices
from cleartrace.llm.protocol import (
    BudgetExhausted,
    LLMError,
    Malformed,
    Message,
    RateLimited,
    Refused,
    Rejected,
    Reply,
    Request,
    Role,
    ServerError,
    TimedOut,
    Unreachable,
)
from cleartrace.llm.retrying import OUTAGE, Outage, Retrying, RetryPolicy
from cleartrace.llm.scripted import Scripted


def request(text: str = "go", role: Role = Role.AGENT, max_tokens: int | None = None) -> Request:
    return Request(role=role, messages=(Message(role="user", content=text),), max_tokens=max_tokens)


def reply(input_tokens: int = 10, output_tokens: int = 5, cached_tokens: int = 0) -> Reply:
    usage = Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=cached_tokens)
    return Reply(message=Message(role="assistant", content="ok"), usage=usage)


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


# --- retries


@pytest.mark.parametrize("error", [Unreachable("x"), TimedOut("x"), RateLimited("x"), ServerError("x"), Malformed("x")])
def test_what_may_pass_is_tried_five_times_with_growing_waits(error: LLMError) -> None:
    clock, llm = Clock(), Scripted(lambda asked: error)
    with pytest.raises(type(error), match="5 tries"):
        asyncio.run(Retrying(llm, sleep=clock.sleep).complete(request()))
    assert len(llm.requests) == 5
    for wait, usual in zip(clock.slept, (1, 2, 4, 8), strict=True):
        assert 0.8 * usual <= wait <= 1.2 * usual


@pytest.mark.parametrize("error", [Rejected("429"), Refused("503"), BudgetExhausted("calls")])
def test_what_will_not_pass_is_tried_once(error: LLMError) -> None:
    llm = Scripted(lambda asked: error)
    with pytest.raises(type(error)):
        asyncio.run(Retrying(llm).complete(request()))
    assert len(llm.requests) == 1


def test_the_wait_stays_below_its_limit_and_honours_what_the_endpoint_asks() -> None:
    policy = RetryPolicy(tries=9)
    assert policy.wait_s(ServerError("x"), 8, 0.5) == 30.0
    assert policy.wait_s(RateLimited("x", wait_s=17.0), 1, 0.5) == 17.0
    assert policy.wait_s(RateLimited("x", wait_s=0.1), 1, 0.5) == 1.0
    assert policy.wait_s(RateLimited("x", wait_s=121.0), 1, 0.5) is None
    assert policy.wait_s(ServerError("x"), 9, 0.5) is None


def test_s11_waits_are_drawn_from_a_stream_of_the_seed() -> None:
    def waits(seed: int) -> list[float]:
        clock = Clock()
        with pytest.raises(ServerError):
            asyncio.run(
                Retrying(Scripted(lambda asked: ServerError("x")), None, seed, sleep=clock.sleep).complete(request())
            )
        return clock.slept

    assert waits(1) == waits(1) != waits(2)


def test_the_time_from_the_first_failure_to_the_attempt_that_is_answered_counts_as_lost() -> None:
    answers = iter([ServerError("x"), ServerError("x"), "ok", Refused("no"), ServerError("x")])
    outage = Outage()

    async def calls() -> None:
        OUTAGE.set(outage)
        llm = Retrying(Scripted(lambda asked: next(answers)), RetryPolicy(base_s=0.02))
        await llm.complete(request())
        assert outage.since is None and 0.04 < outage.over_s < 5
        with pytest.raises(Refused):
            await llm.complete(request())
        assert outage.since is None
        under_way = asyncio.ensure_future(llm.complete(request()))
        await asyncio.sleep(0.01)
        under_way.cancel()
        await asyncio.wait({under_way})

    asyncio.run(calls())
    assert outage.since is not None and outage.lost_s > outage.over_s, "a call that is cut off in an outage"


# --- rate and concurrency


def test_no_more_requests_are_under_way_than_allowed() -> None:
    under_way, most = 0, 0

    async def answer(asked: Request) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return "ok"

    async def run() -> None:
        llm = Limited(Scripted(answer), concurrency=3)
        await asyncio.gather(*(llm.complete(request()) for _ in range(20)))

    asyncio.run(run())
    assert most == 3


@pytest.mark.parametrize("rate", [Rate(requests_per_minute=5), Rate(tokens_per_minute=100)])
def test_no_minute_holds_more_than_the_rate(rate: Rate) -> None:
    clock, sent = Clock(), []

    def answer(asked: Request) -> Reply:
        sent.append(clock.now)
        clock.now += 1
        return reply(15, 5)

    async def run() -> None:
        llm = Limited(Scripted(answer), 4, rate, clock=clock, sleep=clock.sleep)
        await asyncio.gather(*(llm.complete(request(max_tokens=5)) for _ in range(23)))

    asyncio.run(run())
    assert len(sent) == 23
    assert max(sum(at <= other < at + 60 for other in sent) for at in sent) in (4, 5)  # the estimate lies above


def test_a_request_larger_than_the_rate_goes_alone_and_does_not_wait_forever() -> None:
    clock = Clock()
    llm = Limited(Scripted(lambda asked: reply()), 4, Rate(tokens_per_minute=10), clock=clock, sleep=clock.sleep)
    asyncio.run(llm.complete(request(max_tokens=1000)))
    assert clock.slept == []
    with pytest.raises(ValueError, match="per minute"):
        Rate(requests_per_minute=0)


# --- ledger


accounts = st.builds(
    Account,
    attempts=st.integers(0, 9),
    retries=st.integers(0, 3),
    hits=st.integers(0, 9),
    errors=st.dictionaries(st.sampled_from(["TimedOut", "Malformed"]), st.integers(1, 5)),
    usage=st.builds(Usage, calls=st.integers(0, 9), input_tokens=st.integers(0, 99), output_tokens=st.integers(0, 99)),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Role), accounts), max_size=8), st.integers(0, 8))
def test_ledgers_merge_and_survive_json(rows: list[tuple[Role, Account]], cut: int) -> None:
    whole, left, right = Ledger(), Ledger(), Ledger()
    for index, (role, account) in enumerate(rows):
        whole.add(role, account)
        (left if index < cut else right).add(role, account)
    left.merge(right)
    assert left.to_json() == whole.to_json() == Ledger.from_json(json.loads(json.dumps(whole.to_json()))).to_json()
    assert whole.total == sum((whole.of(role) for role in Role), Account())


def test_a_cost_is_unknown_where_that_of_any_tokens_is() -> None:
    priced, unpriced = Usage(input_tokens=9, cost=0.25), Usage(output_tokens=5)
    assert (priced + unpriced).cost is None and (unpriced + priced + priced).cost is None
    assert (priced + Usage() + priced).cost == 0.5 and (Usage() + Usage()).cost is None
    ledger = Ledger()
    ledger.add(Role.AGENT, Account(attempts=2, retries=1, usage=priced))
    ledger.add(Role.USER, Account(attempts=1, usage=unpriced, unpriced=1))
    assert [(row.role, row.calls, row.input_tokens, row.output_tokens, row.cost) for row in ledger.spent()] == [
        ("agent", 1, 9, 0, 0.25),
        ("user", 1, 0, 5, None),
        ("total", 2, 9, 5, None),
    ]
    assert ledger.total.usage.cost == 0.25, "what a budget counts by"
    assert Ledger().spent() == ()


def test_a_ledger_on_disk_goes_on_after_a_kill(tmp_path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = Ledger(path)
    first.add(Role.AGENT, Account(attempts=2, errors={"TimedOut": 1}))
    first.close()
    path.write_bytes(path.read_bytes() + b'{"role": "agent", "entry": {"att')  # a kill in the middle of a line
    second = Ledger(path)
    second.add(Role.JUDGE, Account(attempts=1))
    second.close()
    assert Ledger(path).to_json() == second.to_json()
    assert second.of(Role.AGENT) == Account(attempts=2, errors={"TimedOut": 1}) and second.total.attempts == 3


def test_a_ledger_is_shown_saved_and_refused_in_another_version(tmp_path) -> None:
    from rich.console import Console

    ledger = Ledger()
    ledger.add(Role.AGENT, Account(attempts=3, retries=1, usage=Usage(input_tokens=1234, cost=0.5), unpriced=2))
    ledger.add(Role.JUDGE, Account(hits=7))
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(ledger.table())
    shown = console.export_text()
    assert "1,234" in shown and "$0.5000 + 2 unpriced" in shown and "total" in shown
    ledger.save(tmp_path / "ledger.json")
    assert Ledger.from_json(json.loads((tmp_path / "ledger.json").read_text())).to_json() == ledger.to_json()
    with pytest.raises(ValueError, match="version"):
        Ledger.from_json({"schema_version": 99, "roles": {}})


def test_attempts_that_fail_are_counted_with_what_they_were_charged() -> None:
    paid = Refused("no")
    paid.usage = Usage(calls=1, input_tokens=7, output_tokens=1)
    ledger = Ledger()
    metered = Metered(Scripted([ServerError("x"), reply(), paid]), ledger, price=Price(input=1e6, output=2e6))
    llm = Retrying(metered, RetryPolicy(base_s=0), ledger=ledger)
    first = asyncio.run(llm.complete(request()))
    with pytest.raises(Refused) as refused:
        asyncio.run(llm.complete(request()))
    total = ledger.of(Role.AGENT)
    assert (total.calls, total.attempts, total.retries) == (2, 3, 1)
    assert total.errors == {"ServerError": 1, "Refused": 1}
    assert (total.tokens, total.usage.cost) == (23, 10 + 10 + 7 + 2)
    assert first.usage.cost == 20 and refused.value.usage.cost == 9


def test_an_endpoint_that_names_no_tokens_is_counted_by_estimate() -> None:
    ledger = Ledger()
    asyncio.run(Metered(Scripted(lambda asked: reply(0, 0)), ledger).complete(request()))
    assert ledger.total.estimated == 1 and ledger.total.tokens > 0 and ledger.total.unpriced == 1


def test_a_cancelled_call_is_counted_and_gives_its_reservation_back() -> None:
    async def run() -> None:
        ledger = Ledger()
        budget = Budget(ledger, Limits(calls=2))
        llm = Metered(
            Scripted(lambda asked: asyncio.sleep(9, "late") if len(ledger.roles) == 0 else "ok"), ledger, budget
        )
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(llm.complete(request()), 0.05)
        assert ledger.total.errors == {"CancelledError": 1}
        assert (await llm.complete(request())).text == "ok"

    asyncio.run(run())


def test_prices_are_dollars_per_million_tokens(tmp_path) -> None:
    usage = Usage(input_tokens=1_000_000, cached_tokens=400_000, output_tokens=100_000)
    assert Price(input=2.0, output=10.0, cached=0.5).of(usage) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 1.0)
    (tmp_path / "prices.yaml").write_text("openai/m: {input: 2, output: 10}\n")
    assert read_prices(tmp_path / "prices.yaml") == {"openai/m": Price(2, 10)}
    (tmp_path / "bad.yaml").write_text("openai/m: {in: 2}\n")
    with pytest.raises(ValueError, match="bad.yaml"):
        read_prices(tmp_path / "bad.yaml")


# --- budget (A9)


def spend(limits: Limits, answer: Callable[[Request], object], asked: list[Request], **options) -> tuple[list, Ledger]:
    ledger = Ledger()
    llm = Metered(Scripted(answer), ledger, Budget(ledger, limits, **options), price=Price(input=1e4, output=1e4))  # type: ignore[arg-type]

    async def run() -> list:
        return await asyncio.gather(*(llm.complete(one) for one in asked), return_exceptions=True)

    return asyncio.run(run()), ledger


async def slow(asked: Request) -> Reply:
    await asyncio.sleep(0.001)
    return reply(10, 5)


@pytest.mark.parametrize("limit", [Limits(tokens=100), Limits(cost=1.0), Limits(calls=7)])
def test_a9_a_hard_budget_stops_within_one_call_and_says_why(limit: Limits) -> None:
    results, ledger = spend(limit, slow, [request(max_tokens=5)] * 30)
    stopped = [result for result in results if isinstance(result, BudgetExhausted)]
    replies = [result for result in results if isinstance(result, Reply)]
    assert len(replies) == ledger.total.attempts == 7  # 6 replies are 90 tokens, the 7th crosses 100 and is returned
    assert len(stopped) == 23 and not ledger.total.errors
    name = next(name for name in ("tokens", "cost", "calls") if getattr(limit, name) is not None)
    assert name in stopped[0].limit and "all roles" in stopped[0].limit


def test_a9_calls_under_way_together_do_not_cross_a_limit_by_more_than_one() -> None:
    for limit in range(40, 200, 13):
        results, ledger = spend(Limits(tokens=limit), slow, [request(max_tokens=5)] * 30)
        assert limit <= ledger.total.tokens < limit + 15
        assert sum(isinstance(result, Reply) for result in results) == ledger.total.attempts


def test_a_budget_of_one_role_leaves_the_others_alone() -> None:
    asked = [request(role=role, max_tokens=5) for role in (Role.JUDGE, Role.AGENT) * 10]
    results, ledger = spend(Limits(calls=15), slow, asked, roles={Role.JUDGE: Limits(calls=3)})
    assert (ledger.of(Role.JUDGE).attempts, ledger.of(Role.AGENT).attempts) == (3, 10)
    assert "role judge" in next(result.limit for result in results if isinstance(result, BudgetExhausted))


def test_seconds_are_limited_too_and_nothing_is_sent_on_a_spent_budget() -> None:
    ledger = Ledger()
    llm = Metered(Scripted(lambda asked: asyncio.sleep(0.015, reply())), ledger, Budget(ledger, Limits(seconds=0.02)))

    async def run() -> None:
        for _ in range(9):
            await llm.complete(request())

    with pytest.raises(BudgetExhausted, match="seconds of all roles"):
        asyncio.run(run())
    assert ledger.total.usage.seconds >= 0.02 and ledger.total.attempts < 9
    results, ledger = spend(Limits(calls=0), slow, [request()])
    assert isinstance(results[0], BudgetExhausted) and ledger.total.attempts == 0


def test_retries_do_not_go_past_the_budget() -> None:
    ledger = Ledger()
    budget = Budget(ledger, Limits(calls=3))
    llm = Retrying(
        Metered(Scripted(lambda asked: ServerError("x")), ledger, budget), RetryPolicy(base_s=0), ledger=ledger
    )
    with pytest.raises(BudgetExhausted, match="calls of all roles: 3 of 3"):
        asyncio.run(llm.complete(request()))
    assert (ledger.total.calls, ledger.total.attempts, ledger.total.retries) == (1, 3, 2)
    assert budget.exhausted == "calls of all roles: 3 of 3"


def test_a_limit_of_cost_without_a_price_and_a_negative_limit_are_errors() -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="no price of scripted/model"):
        Metered(Scripted([]), ledger, Budget(ledger, Limits(cost=1.0)))
    with pytest.raises(ValueError, match="negative"):
        Limits(tokens=-1)


def test_a_reservation_is_the_most_a_call_may_take() -> None:
    need = largest(request("word " * 100, max_tokens=50), 9, Price(1, 1))
    assert need.input_tokens >= 100 and need.output_tokens == 50 and need.cost
    assert largest(request(), 9, None).output_tokens == 9
    assert largest(request(), None, None).output_tokens == UNKNOWN_OUTPUT
