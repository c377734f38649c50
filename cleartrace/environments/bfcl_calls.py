"""Calls of BFCL between our form and the package's source text, and its function documents as JSON schemas."""

# pyright: reportMissingImports=false
# The package lives in a virtual environment of its own, where this module runs.

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from cleartrace.environments.calls import gold_call
from cleartrace.llm.protocol import ToolCall, ToolSpec

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


def source_of(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as the package's checkers read it.

    Example:
        >>> source_of("mv", {"source": "a", "destination": "b"})
        "mv(source='a', destination='b')"
    """
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def call_of(source: str, number: int, entry: Mapping[str, Any]) -> ToolCall:
    """A call of a reference solution. Arguments given by position get the names that the service's method has."""
    node = ast.parse(source, mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"not a call: {source}")
    arguments = {key.arg: ast.literal_eval(key.value) for key in node.keywords if key.arg}
    if node.args:
        names = _parameters(node.func.id, entry["involved_classes"])
        arguments = dict(zip(names, map(ast.literal_eval, node.args), strict=False)) | arguments
    return gold_call(node.func.id, arguments, number)


def _parameters(function: str, services: list[str]) -> list[str]:
    from bfcl_eval.constants.executable_backend_config import CLASS_FILE_PATH_MAPPING

    for service in services:
        made = getattr(importlib.import_module(CLASS_FILE_PATH_MAPPING[service]), service)
        if hasattr(made, function):
            return [name for name in inspect.signature(getattr(made, function)).parameters if name != "self"]
    raise ValueError(f"no service of {services} has a function {function}")


def spec_of(document: Mapping[str, Any]) -> ToolSpec:
    description = document["description"]
    if "response" in document:
        description += f" Returns: {json.dumps(_schema(document['response']))}"
    return ToolSpec(name=document["name"], description=description, parameters=_schema(document["parameters"]))


def _schema(value: Any) -> Any:
    """The package's types are Python's; JSON schema has other names for some of them."""
    if isinstance(value, list):
        return [_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {key: _schema(item) for key, item in value.items()}
    if isinstance(fields.get("type"), str):
        kind = _TYPES.get(fields["type"], fields["type"])
        fields = {key: item for key, item in fields.items() if key != "type"} | ({"type": kind} if kind else {})
    return fields
