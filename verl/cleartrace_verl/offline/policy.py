"""The policy behind an offline rollout: what `SaarAgentLoop` calls, and the engine in this process."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, Protocol

from verl.workers.rollout.replica import TokenOutput

from cleartrace_verl.compose import ConfigError
from cleartrace_verl.rollout.replica import EmbeddedServer

_WHOLE_FILE_BYTES = 64 << 20
_EDGE_BYTES = 1 << 20


class Policy(Protocol):
    """One continuation per call; safe to share between coroutines. `identify`, then `open`, then `generate`."""

    async def identify(self) -> str:
        """What the policy is known by in the manifest of a run. Loads nothing."""
        ...

    async def open(self) -> None: ...

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput: ...

    async def close(self) -> None: ...


class _Server(EmbeddedServer):
    """The server of training without its Ray actor."""

    async def close(self) -> None:
        await self._engine.close()


class EmbeddedPolicy:
    """A model folder in the embedded engine, in this process."""

    def __init__(self, model: Path, engine: dict[str, Any], limits: dict[str, int]) -> None:
        """`engine`: fields of EngineConfig; `limits`: prompt_length, response_length, ignore_eos.

        Raises ConfigError when `model` is no model folder.
        """
        if not (model / "config.json").is_file():
            raise ConfigError(f"No model at {model}: --model takes a folder with a config.json.")
        self._model, self._settings, self._limits = model, engine, limits
        self._server: _Server | None = None

    async def identify(self) -> str:
        return fingerprint(self._model)

    async def open(self) -> None:
        """Raises EngineError or UnsupportedModel for a model the engine cannot serve."""
        self._server = await asyncio.to_thread(_Server, str(self._model), self._settings, self._limits)

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput:
        if self._server is None:
            raise RuntimeError("the policy is not open")
        return await self._server.generate(request_id, prompt_ids, sampling_params, **kwargs)

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()


class SeededPolicy:
    """One rollout's view of a policy: request i of a rollout has the same seed in every start and in both arms.

    Both arms thus begin with the same tokens, which makes their difference a paired one.
    """

    def __init__(self, policy: Policy, seed: int, sample_id: str, rollout: int) -> None:
        self._policy = policy
        self._stream = f"{seed}/{sample_id}/{rollout}"
        self._requests = 0

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput:
        seed = _seed_of(f"{self._stream}/{self._requests}")
        self._requests += 1
        params = {**sampling_params, "seed": seed}
        return await self._policy.generate(request_id, prompt_ids=prompt_ids, sampling_params=params, **kwargs)


def _seed_of(text: str) -> int:
    # 31 bits: what every server takes.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def fingerprint(model: Path) -> str:
    """Folder name and a hash of its configuration and weights, so that a changed checkpoint is another policy.

    Of files beyond 64 MB the first and the last MB and the size are hashed.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in model.iterdir() if p.suffix in (".json", ".safetensors", ".bin", ".jinja")):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_FILE_BYTES:
                digest.update(file.read())
                continue
            digest.update(file.read(_EDGE_BYTES))
            file.seek(-_EDGE_BYTES, 2)
            digest.update(file.read())
    return f"{model.resolve().name}@{digest.hexdigest()[:16]}"
