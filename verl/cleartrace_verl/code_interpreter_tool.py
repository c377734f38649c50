"""The `code_interpreter` function tool: give this file as `multi_turn.function_tool_path`.

The judge's address and token come from the environment (`CLEARTRACE_JUDGE_URL`, `CODE_JUDGE_TOKEN`), never
from a configuration that is written to disk.
"""

from __future__ import annotations

import asyncio
import os
from functools import lru_cache
from typing import Any

from verl.tools.function_tool import function_tool
from verl.tools.schemas import ToolResponse

from cleartrace.tools.code_interpreter import TOOL_SCHEMA, CodeInterpreter
from cleartrace.tools.render import render
from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE, JUDGE_URL_VARIABLE
from code_judge.client import AsyncJudgeClient


@lru_cache(maxsize=4)
def _interpreter(loop: asyncio.AbstractEventLoop) -> CodeInterpreter:
    # One client per process and event loop: sockets and tasks do not grow with the number of rollouts (D35).
    del loop
    url = os.environ.get(JUDGE_URL_VARIABLE)
    if not url:
        raise RuntimeError(
            f"{JUDGE_URL_VARIABLE} is not set: start `code-judge serve` and export its address, "
            "or leave cleartrace.judge.url empty so that the run starts its own."
        )
    return CodeInterpreter(AsyncJudgeClient(url, token=os.environ.get(JUDGE_TOKEN_VARIABLE)))


@function_tool("code_interpreter", schema=TOOL_SCHEMA)
async def code_interpreter(code: str) -> tuple[ToolResponse, float, dict[str, Any]]:
    result = await _interpreter(asyncio.get_running_loop()).run(code)
    return ToolResponse(text=render(result)), 0.0, {"result": result}
