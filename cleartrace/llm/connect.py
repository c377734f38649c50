"""From `provider/model` to a model with everything around it."""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cleartrace.llm.budget import Budget
from cleartrace.llm.cached import Cached
from cleartrace.llm.endpoint import DEFAULT_URLS, Endpoint, Options, SchemaMode, ThinkingMode
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.limited import Limited, Rate
from cleartrace.llm.metered import Metered, Price, read_prices
from cleartrace.llm.protocol import LLM
from cleartrace.llm.recording import Recording, Replaying
from cleartrace.llm.retrying import Retrying, RetryPolicy
from cleartrace.serving import is_loopback_url

_SPEC = re.compile(r"(?P<provider>[^/@]+)/(?P<model>.+?)(?:@(?P<url>https?://.+))?")
_PROVIDERS = {
    "openai": ("cleartrace.llm.openai", "OpenAIChat", ("OPENAI_API_KEY",)),
    "anthropic": ("cleartrace.llm.anthropic", "AnthropicMessages", ("ANTHROPIC_API_KEY",)),
    "google": ("cleartrace.llm.google", "GeminiContent", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
}
_OPTIONS = ("key_env", "prices", "max_tokens", "schema_mode", "thinking_mode", "limit_field", "extra", "seed")
_ANTHROPIC_TOKENS = 8192
TRIES, BASE, MOST, TIMEOUT = (
    "RCL_LLM_MAX_RETRIES",
    "RCL_LLM_RETRY_BASE_DELAY",
    "RCL_LLM_RETRY_MAX_DELAY",
    "RCL_CLAUDE_CALL_TIMEOUT_S",
)
"""Variables of the published command lines; an argument goes before them."""


class ConnectError(ValueError):
    """A spec, an option or a key that does not work, with what would."""


@dataclass(frozen=True)
class Spec:
    """`provider/model`, or `provider/model@http://host:port/path`."""

    provider: str
    model: str
    base_url: str | None = None

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Raises `ConnectError`.

        Example:
            >>> Spec.parse("openai/org/name@http://127.0.0.1:8000/v1")
            Spec(provider='openai', model='org/name', base_url='http://127.0.0.1:8000/v1')
        """
        found = _SPEC.fullmatch(text.strip())
        if found is None:
            raise ConnectError(f"not a model: {text!r}; write provider/model or provider/model@http://host:port/v1")
        _known(found["provider"], _PROVIDERS, "provider")
        return cls(found["provider"], found["model"], found["url"])


def connect(
    spec: str,
    *,
    ledger: Ledger | None = None,
    budget: Budget | None = None,
    cache: str | Path | None = None,
    record: str | Path | None = None,
    replay: str | Path | None = None,
    concurrency: int = 8,
    rate: Rate | Mapping[str, float] | None = None,
    timeout_s: float | None = None,
    retries: int | None = None,
    **options: Any,
) -> LLM:
    """A model from its name. Keys come from the environment alone: OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY.

    Args:
        ledger, budget: what calls take, and its limits. A budget brings its ledger along.
        cache: folder of replies, by request.
        record: file that every call is appended to.
        replay: a recording to answer from; then nothing is sent, and no key is needed.
        concurrency, rate: of requests under way, and in any minute.
        timeout_s: of one whole answer; 120, or RCL_CLAUDE_CALL_TIMEOUT_S.
        retries: tries in all; 5, or RCL_LLM_MAX_RETRIES. The waits begin at RCL_LLM_RETRY_BASE_DELAY (1 s) and double
            up to RCL_LLM_RETRY_MAX_DELAY (30 s).
        options: key_env: variable that holds the key, and sends it to a loopback address too. prices: a table of
            `Price` or its file. max_tokens: where a request sets none. schema_mode, thinking_mode: see `endpoint`.
            limit_field: the name of the limit of tokens. extra: fields of every request. seed: of the waits.

    Raises `ConnectError`; ImportError without the SDK.
    """
    if budget is not None and ledger is not None and budget.ledger is not ledger:
        raise ConnectError("the budget counts in another ledger: leave `ledger` out, or make the budget over it")
    ledger = budget.ledger if budget is not None else ledger
    parsed, settings = Spec.parse(spec), _settings(options)
    endpoint = _endpoint_options(parsed, timeout_s, settings)
    if replay is not None:
        useless = {"budget": budget, "cache": cache, "record": record, "rate": rate, "retries": retries, **settings}
        for name in (name for name in ("budget", "cache", "record", "rate", "retries", "prices") if useless.get(name)):
            raise ConnectError(f"{name} has no effect on a replay: leave it out")
        return Replaying(Path(replay), endpoint.name, ledger)
    return wrap(
        _endpoint(endpoint, parsed, settings.get("key_env")),
        ledger=ledger,
        budget=budget,
        cache=cache,
        record=record,
        concurrency=concurrency,
        rate=_rate(rate),
        policy=retry_policy(retries),
        price=_price(settings.get("prices"), parsed),
        max_tokens=endpoint.max_tokens or (_ANTHROPIC_TOKENS if parsed.provider == "anthropic" else None),
        seed=settings.get("seed", 0),
    )


def wrap(
    llm: LLM,
    *,
    ledger: Ledger | None = None,
    budget: Budget | None = None,
    cache: str | Path | None = None,
    record: str | Path | None = None,
    concurrency: int = 8,
    rate: Rate | None = None,
    policy: RetryPolicy | None = None,
    price: Price | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
) -> LLM:
    """What `connect` puts around an endpoint, from the outside in:

    1. Recording: all that the run saw, whatever answered it.
    2. Cached: a request that was answered before ends here, and costs nothing.
    3. Retrying: by the type of the error.
    4. Limited: each attempt takes a place and a share of the rate.
    5. Metered: each attempt is counted and held against the budget, right before it is sent.
    """
    ledger = budget.ledger if budget is not None else ledger or Ledger()
    try:
        llm = Metered(llm, ledger, budget, price, max_tokens)
    except ValueError as error:
        raise ConnectError(str(error)) from None
    llm = Limited(llm, concurrency, rate, max_tokens)
    llm = Retrying(llm, policy, seed, ledger)
    if cache is not None:
        llm = Cached(llm, Path(cache), ledger)
    return Recording(llm, Path(record)) if record is not None else llm


def retry_policy(retries: int | None = None) -> RetryPolicy:
    """From the argument, the environment, or the defaults, in this order. Raises `ConnectError`."""
    usual = RetryPolicy()
    tries = retries if retries is not None else int(_number(TRIES, usual.tries))
    if tries < 1:
        raise ConnectError(f"retries counts all tries, so it is at least 1, got {tries}")
    return RetryPolicy(tries, _number(BASE, usual.base_s), _number(MOST, usual.max_s))


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    for name in options:
        _known(name, _OPTIONS, "option")
    settings = dict(options)
    for name, kind in (("schema_mode", SchemaMode), ("thinking_mode", ThinkingMode)):
        if name in settings:
            values = [mode.value for mode in kind]
            settings[name] = kind(_known(getattr(settings[name], "value", settings[name]), values, name))
    return settings


def _endpoint_options(spec: Spec, timeout_s: float | None, settings: Mapping[str, Any]) -> Options:
    own = spec.provider == "openai" and spec.base_url is None
    chosen = ("max_tokens", "schema_mode", "thinking_mode", "extra")
    return Options(
        provider=spec.provider,
        model=spec.model,
        base_url=(spec.base_url or DEFAULT_URLS[spec.provider]).rstrip("/"),
        key="",
        timeout_s=timeout_s if timeout_s is not None else _number(TIMEOUT, 120.0),
        limit_field=settings.get("limit_field") or ("max_completion_tokens" if own else "max_tokens"),
        **{name: settings[name] for name in chosen if name in settings},
    )


def _endpoint(options: Options, spec: Spec, key_env: str | None) -> Endpoint:
    module, name, _ = _PROVIDERS[spec.provider]
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ImportError(f"{spec.provider} needs its client ({error}): pip install 'cleartrace[llm]'") from error
    return kind(replace(options, key=_key(spec, key_env)))


def _key(spec: Spec, key_env: str | None) -> str:
    """From the environment. A loopback address gets one only when its variable is named: keys stay where they are."""
    names = (key_env,) if key_env else _PROVIDERS[spec.provider][2]
    loopback = spec.base_url is not None and is_loopback_url(spec.base_url)
    found = next((value for name in names if (value := os.environ.get(name))), "")
    if loopback and not key_env:
        return "none"
    if not found:
        raise ConnectError(
            f"no key for {spec.provider}/{spec.model}: set the environment variable {' or '.join(names)}"
        )
    return found


def _rate(rate: Rate | Mapping[str, float] | None) -> Rate | None:
    if not isinstance(rate, Mapping):
        return rate
    names = [field.name for field in fields(Rate)]
    return Rate(**{_known(name, names, "rate"): value for name, value in rate.items()})


def _price(prices: Any, spec: Spec) -> Price | None:
    table = read_prices(Path(prices)) if isinstance(prices, (str, Path)) else prices or {}
    return table.get(f"{spec.provider}/{spec.model}")


def _number(variable: str, usual: float) -> float:
    said = os.environ.get(variable)
    if not said:
        return usual
    try:
        value = float(said)
    except ValueError:
        value = -1.0
    if value < 0:
        raise ConnectError(f"the environment variable {variable} is no number from 0 on: {said!r}")
    return value


def _known(name: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)
        raise ConnectError(f"unknown {what} {name!r}; did you mean {near[0]!r}? There are {', '.join(names)}")
    return name
