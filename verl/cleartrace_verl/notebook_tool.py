"""`code_interpreter` with state: give this file as `multi_turn.function_tool_path` instead of the stateless one (D55).

Each rollout has a session of its own on the judge. A call that fails changes nothing: the judge runs every call on a
branch of the session and keeps the branch only when it succeeds, so a rolled back call leaves no trace in later ones.
"""

from __future__ import annotations

from typing import Any

from verl.tools.function_tool import function_tool
from verl.tools.schemas import ToolResponse

from cleartrace.tools.code_interpreter import NOTEBOOK_SCHEMA
from cleartrace.tools.render import render
from cleartrace_verl.notebook import run_in_notebook


@function_tool("code_interpreter", schema=NOTEBOOK_SCHEMA)
async def code_interpreter(code: str) -> tuple[ToolResponse, float, dict[str, Any]]:
    result = await run_in_notebook(code)
    return ToolResponse(text=render(result)), 0.0, {"result": result}
