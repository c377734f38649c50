"""Ask a rollout server how likely given tokens are: one prefill, nothing is generated that anybody keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
