"""What `cleartrace context serve` does once its options are read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cleartrace.context.middleware.briefing import Added, Briefing
from cleartrace.context.middleware.proxy import TOKEN_VARIABLE, Upstream, build_app
from cleartrace.context.providers.spec import provider_from_spec
from cleartrace.serving import NotServed, check_binding, listen, run


@dataclass(frozen=True)
class Settings:
    """Options of the command, in its order. `required`: a provider that fails is an error."""

    context: str
    upstream: str
    environment: str
    cap: int | None
    seed: int
    host: str
    port: int
    key_env: str
    log: Path | None
    required: bool


def serve_context(settings: Settings) -> None:
    """Serve until interrupted. Raises `NotServed`, and what `provider_from_spec` raises."""
    token = os.environ.get(TOKEN_VARIABLE) or None
    check_binding(settings.host, token, TOKEN_VARIABLE)
    upstream = Upstream(_url(settings.upstream), _key(settings.key_env))
    heard = None if settings.log is None else _logger(settings.log)
    briefing = Briefing(
        provider_from_spec(settings.context, settings.cap),
        environment=settings.environment,
        seed=settings.seed,
        required=settings.required,
        heard=heard,
    )
    console = Console(soft_wrap=True, highlight=False)

    def started(url: str, stop: Callable[[], None]) -> None:
        del stop
        console.print(f"{settings.context} in front of {settings.upstream}. For a client:", markup=False)
        console.print(f"  export OPENAI_BASE_URL={url}/v1", markup=False)

    asyncio.run(run(build_app(briefing, upstream, token), listen(settings.host, settings.port), started))


def _url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise NotServed(f"an upstream is an address such as http://127.0.0.1:8000/v1, not {url!r}")
    return url


def _key(variable: str) -> str | None:
    if variable and not os.environ.get(variable):
        raise NotServed(f"the variable {variable} of the upstream's key is not set")
    return os.environ[variable] if variable else None


def _logger(path: Path) -> Callable[[Added], None]:
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(added: Added) -> None:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(added.canonical().encode("utf-8", "replace").decode() + "\n")

    return log
