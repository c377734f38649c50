"""The tests that are the answer key of a row that asks for a program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cleartrace.data.identity import mapping_of


@dataclass(frozen=True)
class Case:
    """One input and its expected output, as text; arguments of a call are shown as JSON."""

    input: str
    output: str


@dataclass(frozen=True)
class CodeTests:
    """`cases` run over stdin and stdout, or through a call when `function` is set; `harness` is a program of asserts
    (LeetCode style: import_prefix, test_code, entry_point)."""

    cases: tuple[Case, ...] = ()
    function: str = ""
    harness: str = ""

    @classmethod
    def parse(cls, truth: Any) -> CodeTests:
        """Read a key: a struct or its JSON text, with `inputs` and `outputs` (and `fn_name`), or with `test_code`.

        Errors: `ValueError` that says what is missing.
        """
        key = mapping_of(truth)
        if not key:
            raise ValueError("the tests are not a JSON object")
        if key.get("test_code") is not None or key.get("import_prefix") is not None:
            return cls(function=str(key.get("entry_point") or ""), harness=_harness(key))
        if "inputs" not in key or "outputs" not in key:
            raise ValueError(f"no inputs and outputs, and no test_code; it has {', '.join(sorted(key))}")
        inputs, outputs = _listed(key["inputs"], "inputs"), _listed(key["outputs"], "outputs")
        if len(inputs) != len(outputs):
            raise ValueError(f"{len(inputs)} inputs but {len(outputs)} outputs")
        if not inputs:
            raise ValueError("there is no test")
        cases = tuple(Case(_shown(i), _shown(o)) for i, o in zip(inputs, outputs, strict=True))
        return cls(cases, function=str(key.get("fn_name") or ""))


def _listed(value: Any, name: str) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"{name} is text but not a JSON list") from None
    if not isinstance(value, list):
        raise ValueError(f"{name} is not a list")
    return value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harness(key: dict[str, Any]) -> str:
    """The asserts, which have to be Python."""
    code = str(key.get("test_code") or "")
    if not code.strip():
        raise ValueError("test_code is empty")
    try:
        compile(code, "test_code", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"test_code is not Python ({error})") from None
    return code
