"""The `code_interpreter` function tool: give this file as `multi_turn.function_tool_path`.

Nothing is kept from one call to the next; `notebook_tool.py` is the one with state.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from verl.tools.function_tool import function_tool
from verl.tools.schemas import ToolResponse

from cleartrace.tools.code_interpreter import TOOL_SCHEMA, CodeInterpreter
from cleartrace.tools.render import render
from cleartrace_verl.judge_env import judge_client


@lru_cache(maxsize=4)
def _interpreter(loop: asyncio.AbstractEventLoop) -> CodeInterpreter:
    # One client per process and event loop: sockets and tasks do not grow with the number of rollouts (D35).
    del loop
    return CodeInterpreter(judge_client())


@function_tool("code_interpreter", schema=TOOL_SCHEMA)
async def code_interpreter(code: str) -> tuple[ToolResponse, float, dict[str, Any]]:
    result = await _interpreter(asyncio.get_running_loop()).run(code)
    return ToolResponse(text=render(result)), 0.0, {"result": result}
