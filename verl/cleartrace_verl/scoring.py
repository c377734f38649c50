"""Ask a rollout server how likely given tokens are: one prefill, nothing is generated that anybody keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cleartrace.trajectory.flatten import FlatTrajectory
from cleartrace_verl.meter import Meter

PARAMETERS = {"temperature": 1.0, "max_tokens": 1, "prompt_logprobs": 0}


async def score_tokens(server: Any, request_id: str, context: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """log pi_b of each of `tokens` after `context` (not empty) at temperature 1, natural log.

    `server` is veRL's server manager. Its `prompt_logprobs` has one row per position; row i belongs to token i + 1.

    Raises ValueError when the server returned none, or not one row per token.
    """
    ids = [*context, *tokens]
    output = await server.generate(request_id=request_id, prompt_ids=ids, sampling_params=dict(PARAMETERS))
    rows = output.extra_fields.get("prompt_logprobs")
    if rows is None or len(rows) != len(ids):
        got = "none" if rows is None else f"{len(rows)}"
        raise ValueError(
            f"The rollout engine returned {got} of {len(ids)} prompt log-probs. custom.saar.policy=importance and "
            "score_spliced=true need an engine that scores prompts: embedded, vllm or sglang."
        )
    start = len(context) - 1
    return [float(row[0]) for row in rows[start : start + len(tokens)]]


class Scorer:
    """Scores for one rollout, within `context_tokens`, the most that the engine takes; their cost goes to `meter`."""

    def __init__(self, server: Any, request_id: str, meter: Meter, context_tokens: int) -> None:
        self._server, self._request_id = server, request_id
        self._meter, self._context_tokens = meter, context_tokens

    async def score(self, context: Sequence[int], tokens: Sequence[int]) -> list[float] | None:
        """Log-probs of `tokens` after `context`, or None when the request has no room."""
        if len(context) + len(tokens) >= self._context_tokens:
            return None
        self._meter.count("scored_tokens", len(context) + len(tokens))
        with self._meter.time("score"):
            return await score_tokens(self._server, self._request_id, context, tokens)

    async def gap(self, flat: FlatTrajectory) -> list[float]:
        """For each spliced token, its log-prob where it stands minus where it was sampled; 0.0 for the others.

        Empty without spliced tokens, without sampler log-probs, or without room for the request.
        """
        if flat.response_logprobs is None or 1 not in flat.spliced_mask:
            return []
        first = flat.spliced_mask.index(1)
        clean = await self.score((*flat.prompt_ids, *flat.response_ids[:first]), flat.response_ids[first:])
        if clean is None:
            return []
        sampled, moved = flat.response_logprobs[first:], flat.spliced_mask[first:]
        later = [(c - s) * m for c, s, m in zip(clean, sampled, moved, strict=True)]
        return [0.0] * first + later
