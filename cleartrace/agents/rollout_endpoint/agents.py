"""Which agent a request gets: the endpoint's own, or one with the model that the request names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from cleartrace.agents.protocol import ExecutionAgent
from cleartrace.agents.rollout_endpoint.types import Block
from cleartrace.agents.settings import CallStyle, Limits
from cleartrace.agents.tool_loop import ToolLoopAgent
from cleartrace.agents.workplace import AgentConfig
from cleartrace.environments.inprocess import EnvironmentHost
from cleartrace.llm.protocol import LLM
from cleartrace.serving import is_loopback

Connect = Callable[..., LLM]
"""`connect(spec, **options)`."""
_KEPT = 64


class Agents:
    """One agent for each model and sampling that was asked for.

    A request names an address, and whoever serves there gets the key of this machine: addresses beyond loopback must be
    allowed first.

    Args:
        own: for requests that name no model; None for one with the model of `config`, or none.
        allowed: beginnings of addresses that requests may name.
    """

    def __init__(
        self,
        own: ExecutionAgent | None,
        config: AgentConfig,
        host: EnvironmentHost,
        connect: Connect,
        allowed: Sequence[str] = (),
    ) -> None:
        self._own, self._config, self._host = own, config, host
        self._connect, self._allowed = connect, tuple(allowed)
        self._made: OrderedDict[str, ToolLoopAgent] = OrderedDict()

    @property
    def hash(self) -> str:
        """Of the agent for requests that name no model; "" where there is none."""
        if self._own is None and not self._config.model:
            return ""
        return self(Block(exp_id="none", input_id="none", s3_bucket="none")).hash

    def __call__(self, block: Block) -> ExecutionAgent:
        """Raises ValueError where the request may not have its model, or there is none."""
        if self._own is not None and block.base_url is None and block.model_id is None and not block.sampling_params:
            return self._own
        key = repr((block.base_url, block.model_id, sorted(block.sampling_params.items())))
        if key not in self._made:
            self._made[key] = self._agent(block)
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]

    def _agent(self, block: Block) -> ToolLoopAgent:
        sampling = dict(block.sampling_params)
        temperature = sampling.pop("temperature", self._config.temperature)
        max_tokens = sampling.pop("max_tokens", self._config.max_output_tokens)
        sampling.pop("seed", None)
        return ToolLoopAgent(
            self._connect(self._spec(block), **({"extra": sampling} if sampling else {})),
            self._host,
            limits=Limits(max_turns=self._config.max_steps, max_output_tokens=_whole(max_tokens)),
            temperature=None if temperature is None else float(temperature),
            thinking=self._config.thinking_level,
            style=CallStyle(self._config.call_style),
        )

    def _spec(self, block: Block) -> str:
        if block.base_url is None:
            if block.model_id is None and not self._config.model:
                raise ValueError("name a model: base_url and model_id; this endpoint has none of its own")
            return f"openai/{block.model_id}" if block.model_id else self._config.model
        if block.model_id is None:
            raise ValueError("base_url wants a model_id beside it")
        url = block.base_url.rstrip("/")
        if not is_loopback(_host(url)) and not any(_within(url, one) for one in self._allowed):
            raise ValueError(f"{url} may not be used from here: start the endpoint with --allow-url {url}")
        return f"openai/{block.model_id}@{url}"


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.hostname or "" if parts.scheme in ("http", "https") and parts.username is None else ""


def _within(url: str, allowed: str) -> bool:
    """A whole beginning: http://a.b does not allow http://a.bad.

    Example:
        >>> _within("http://10.0.0.5:8000/v1", "http://10.0.0.5:8000"), _within("http://10.0.0.5:80001/v1", "http://10.0.0.5:8000")
        (True, False)
    """
    allowed = allowed.rstrip("/")
    return url == allowed or url.startswith(f"{allowed}/")


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"max_tokens is a whole number from 1 on, not {value!r}")
    return value
