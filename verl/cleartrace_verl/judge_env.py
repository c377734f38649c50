"""How a rollout finds the judge: through the environment, never through a configuration that is written to disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from code_judge.client import AsyncJudgeClient

JUDGE_URL_VARIABLE = "CLEARTRACE_JUDGE_URL"
JUDGE_TOKEN_VARIABLE = "CODE_JUDGE_TOKEN"


def judge_client() -> AsyncJudgeClient:
    """A client of the judge that the environment names. Raises RuntimeError when it names none."""
    from code_judge.client import AsyncJudgeClient

    url = os.environ.get(JUDGE_URL_VARIABLE)
    if not url:
        raise RuntimeError(
            f"{JUDGE_URL_VARIABLE} is not set: start `code-judge serve` and export its address, "
            "or leave cleartrace.judge.url empty so that the run starts its own."
        )
    return AsyncJudgeClient(url, token=os.environ.get(JUDGE_TOKEN_VARIABLE))
