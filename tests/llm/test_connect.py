from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.loopback import Answer, Loopback
from cleartrace.llm.budget import Budget, Limits
from cleartrace.llm.connect import ConnectError, Spec, connect, retry_policy
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.metered import Price
from cleartrace.llm.protocol import BudgetExhausted, Message, Request, Role
from tests.llm.dialects import DIALECTS

ASK = Request(role=Role.AGENT, messages=(Message(role="user", content="go"),))
LOCAL = "openai/small@http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("openai/gpt", Spec("openai", "gpt")),
        ("openai/org/model@2026", Spec("openai", "org/model@2026")),
        ("google/g@https://host/x", Spec("google", "g", "https://host/x")),
    ],
)
def test_a_spec_is_provider_model_and_address(text: str, spec: Spec) -> None:
    assert Spec.parse(text) == spec


def test_what_is_not_known_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConnectError, match="did you mean 'anthropic'"):
        connect("antropic/claude")
    with pytest.raises(ConnectError, match="did you mean 'max_tokens'"):
        connect(LOCAL, max_token=3)
    with pytest.raises(ConnectError, match="did you mean 'prompt'"):
        connect(LOCAL, schema_mode="promt")
    with pytest.raises(ConnectError, match="did you mean 'requests_per_minute'"):
        connect(LOCAL, rate={"requests": 3})
    for bad in ("gpt-5", "openai/", "/m"):
        with pytest.raises(ConnectError, match="provider/model"):
            connect(bad)


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY"), ("google", "GEMINI_API_KEY")],
)
def test_a_key_comes_from_the_environment_alone(provider: str, variable: str, monkeypatch) -> None:
    with pytest.raises(ConnectError, match=variable):
        connect(f"{provider}/m")
    with pytest.raises(ConnectError, match="unknown option 'key'"):
        connect(f"{provider}/m", key="secret")
    monkeypatch.setenv(variable, "secret")
    assert connect(f"{provider}/m").model == f"{provider}/m"


def test_a_key_reaches_a_loopback_address_only_when_its_variable_is_named(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "real")
    monkeypatch.setenv("MY_KEY", "mine")
    with Loopback(lambda asked: Answer(DIALECTS["openai"].text("ok"))) as server:
        spec = DIALECTS["openai"].spec(server.url)
        for options in ({}, {"key_env": "MY_KEY"}):
            asyncio.run(connect(spec, **options).complete(ASK))
        assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer none", "Bearer mine"]


def test_the_name_of_a_model_holds_all_that_changes_its_replies() -> None:
    names = {
        connect(LOCAL, **options).model
        for options in ({}, {"max_tokens": 5}, {"schema_mode": "prompt"}, {"extra": {"top_k": 1}}, {"seed": 3})
    }
    assert len(names) == 4 and LOCAL in names


def test_variables_of_the_published_command_lines_count_after_arguments(monkeypatch) -> None:
    monkeypatch.setenv("RCL_LLM_MAX_RETRIES", "3")
    monkeypatch.setenv("RCL_LLM_RETRY_BASE_DELAY", "0.5")
    monkeypatch.setenv("RCL_LLM_RETRY_MAX_DELAY", "7")
    policy = retry_policy()
    assert (policy.tries, policy.base_s, policy.max_s) == (3, 0.5, 7)
    assert retry_policy(2).tries == 2
    monkeypatch.setenv("RCL_LLM_RETRY_MAX_DELAY", "soon")
    with pytest.raises(ConnectError, match="RCL_LLM_RETRY_MAX_DELAY"):
        retry_policy()
    with pytest.raises(ConnectError, match="at least 1"):
        retry_policy(0)


def test_r18_settings_without_an_effect_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="another ledger"):
        connect(LOCAL, budget=Budget(Ledger()), ledger=Ledger())
    with pytest.raises(ConnectError, match="no price of openai/small"):
        connect(LOCAL, budget=Budget(Ledger(), Limits(cost=1)))
    with pytest.raises(ConnectError, match="cache has no effect on a replay"):
        connect(LOCAL, replay=tmp_path / "x", cache=tmp_path)
    assert connect(LOCAL, budget=Budget(Ledger(), Limits(cost=1)), prices={"openai/small": Price(1, 1)})


def test_the_whole_stack_records_caches_retries_counts_and_stops(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RCL_LLM_RETRY_BASE_DELAY", "0.001")
    answers = iter([Answer({}, 503), Answer(DIALECTS["openai"].text("paid"))])
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with Loopback(lambda asked: next(answers)) as server:
        spec = DIALECTS["openai"].spec(server.url)
        budget = Budget(ledger, Limits(calls=2))
        options = {"budget": budget, "cache": tmp_path / "cache", "record": tmp_path / "calls.jsonl"}

        async def run() -> None:
            llm = connect(spec, **options)
            assert (await llm.complete(ASK)).text == "paid"
            assert (await llm.complete(ASK)).cached  # free, also on a spent budget
            with pytest.raises(BudgetExhausted):
                await llm.complete(ASK.model_copy(update={"seed": 1}))
            await llm.close()

        asyncio.run(run())
    replay = connect(spec, replay=tmp_path / "calls.jsonl")

    async def again() -> None:
        assert [(await replay.complete(ASK)).cached for _ in range(2)] == [False, True]
        with pytest.raises(BudgetExhausted):
            await replay.complete(ASK.model_copy(update={"seed": 1}))

    asyncio.run(again())
    assert (ledger.total.attempts, ledger.total.retries, ledger.total.hits) == (2, 1, 1)
    assert len(server.asked) == 2


def test_a32_nothing_optional_is_imported_before_a_provider_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('openai', 'anthropic', 'google', 'google.genai', 'torch', 'transformers', 'tokenizers'):\n"
        "    sys.modules[name] = None\n"
        "from cleartrace.llm import budget, cached, connect, json, ledger, limited, metered, recording, retrying\n"
        "from cleartrace.llm import scripted, structured, tokens\n"
        "try:\n"
        f"    connect.connect({LOCAL!r})\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'cleartrace[llm]'" in done.stdout, done.stderr
