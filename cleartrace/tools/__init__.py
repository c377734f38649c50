"""Tools an agent can call: structured results, rendering for the model, the code interpreter."""

from cleartrace.tools.result import Blame, ToolResult, ToolStatus

__all__ = ["Blame", "ToolResult", "ToolStatus"]
