"""The answer key of a row that asks for a program: a struct, or its JSON text, as the cases of a judge's suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from cleartrace.rewards.code.asserts import split_tests
from cleartrace.rewards.code.syntax import literal


class TestKind(str, Enum):
    """How a program is tested; values are the judge's names."""

    __test__ = False  # not a test class of pytest
    STDIO = "stdio"
    CALL = "call"
    ASSERT = "assert"


@dataclass(frozen=True)
class CodeTests:
    """`cases` as the judge takes them. `tests[i]` is the test that case i belongs to: where a key can be read in two
    ways, a test has a case for each, and passes by either. `prefix` is code that stands before the program."""

    kind: TestKind
    cases: tuple[dict[str, Any], ...]
    tests: tuple[int, ...]
    entry_point: str = ""
    setup: str = ""
    prefix: str = ""

    @property
    def total(self) -> int:
        return self.tests[-1] + 1


def holds_tests(truth: Any) -> bool:
    """Whether an answer key is meant as tests: an object, or text that begins like one."""
    return isinstance(truth, Mapping) or (isinstance(truth, (str, bytes)) and bool(_text(truth).lstrip()[:1] == "{"))


def read_tests(truth: Any) -> CodeTests:
    """Read a key with `test_code` or `import_prefix` (assert style), with `fn_name` (calls), or with `inputs` and
    `outputs` (stdin and stdout). Missing fields may be null, as a parquet struct has them.

    Errors: `ValueError` that says what is wrong with the key.
    """
    # The rollouts of a group share their key, and some keys are megabytes of text.
    return _read_text(_text(truth)) if isinstance(truth, (str, bytes)) else _read_object(_object(truth))


@lru_cache(maxsize=16)
def _read_text(truth: str) -> CodeTests:
    return _read_object(_object(truth))


def _read_object(key: dict[str, Any]) -> CodeTests:
    if key.get("test_code") is not None or key.get("import_prefix") is not None:
        return _assert_tests(key)
    if "inputs" not in key or "outputs" not in key:
        raise ValueError(f"no inputs and outputs, and no test_code; it has {', '.join(sorted(key)) or 'nothing'}")
    inputs, outputs = _paired(key["inputs"], key["outputs"])
    function = str(key.get("fn_name") or "").strip()
    return _call_tests(inputs, outputs, function) if function else _stdio_tests(inputs, outputs)


def _text(truth: str | bytes) -> str:
    return truth.decode("utf-8", "replace") if isinstance(truth, bytes) else truth


def _object(truth: Any) -> dict[str, Any]:
    value = truth
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the tests are not JSON ({error})") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"the tests are not an object but {type(value).__name__}")
    return {str(name): _plain(item) for name, item in value.items() if item is not None}


def _plain(value: Any) -> Any:
    """Lists and dicts, where pandas and pyarrow give arrays and structs."""
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value


def _paired(inputs: Any, outputs: Any) -> tuple[list[Any], list[Any]]:
    """Equally many of both. Two texts are JSON lists of one length, or else one test (D45)."""
    if isinstance(inputs, str) and isinstance(outputs, str):
        lists = [_json_or_none(text) for text in (inputs, outputs)]
        both = all(isinstance(found, list) for found in lists) and len(lists[0]) == len(lists[1])
        inputs, outputs = lists if both else ([inputs], [outputs])
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise ValueError("inputs and outputs are not two lists or two texts")
    if len(inputs) != len(outputs):
        raise ValueError(f"{len(inputs)} inputs but {len(outputs)} outputs")
    if not inputs:
        raise ValueError("there is no test")
    return inputs, outputs


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _stdio_tests(inputs: list[Any], outputs: list[Any]) -> CodeTests:
    pairs = zip(inputs, outputs, strict=True)
    cases = tuple({"input": _lines(given), "expected": _lines(wanted)} for given, wanted in pairs)
    return CodeTests(TestKind.STDIO, cases, tuple(range(len(cases))))


def _lines(value: Any) -> str:
    """What a test writes and expects, as text: a list is one line per item, not Python's idea of a list (D45)."""
    if isinstance(value, list):
        return "\n".join(" ".join(map(_lines, item)) if isinstance(item, list) else _lines(item) for item in value)
    if value is None or isinstance(value, dict):
        raise ValueError(f"an input or output is {'null' if value is None else 'an object'}; it must be text")
    return str(value)


def _call_tests(inputs: list[Any], outputs: list[Any], function: str) -> CodeTests:
    wrapped = all(isinstance(given, list) for given in inputs) and all(_is_single(wanted) for wanted in outputs)
    cases: list[dict[str, Any]] = []
    tests: list[int] = []
    for number, (given, wanted) in enumerate(zip(inputs, outputs, strict=True)):
        typed = _value(wanted) if isinstance(given, str) else wanted
        # APPS and TACO write a result within a list of one, or bare; nothing in the key says which.
        for expected in (typed, typed[0]) if wrapped else (typed,):
            cases.append({**_arguments(given), "expected": expected})
            tests.append(number)
    return CodeTests(TestKind.CALL, tuple(cases), tuple(tests), entry_point=function)


def _is_single(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _arguments(given: Any) -> dict[str, Any]:
    """Arguments of one call: a list, an object of named ones, or text with one JSON value per line."""
    if isinstance(given, dict):
        return {"args": [], "kwargs": given}
    if isinstance(given, list):
        return {"args": given}
    if isinstance(given, str):
        return {"args": [_value(line) for line in given.splitlines() if line.strip()]}
    return {"args": [given]}


def _value(text: Any) -> Any:
    """The value that a line of a test stands for: JSON, else a Python literal, else the text itself."""
    if not isinstance(text, str):
        return text
    for read in (json.loads, literal):
        try:
            value = _plain(read(text))
        except (ValueError, RecursionError):
            continue
        if _is_json(value):
            return value
    return text


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _assert_tests(key: dict[str, Any]) -> CodeTests:
    entry_point, prefix = str(key.get("entry_point") or ""), str(key.get("import_prefix") or "")
    given = key.get("test_code")
    code = "\n".join(map(str, given)) if isinstance(given, list) else str(given or "")
    if not code.strip():
        raise ValueError("test_code is empty")
    harness = split_tests(code, entry_point, prefix)
    cases = tuple({"code": case} for case in harness.cases)
    numbers = tuple(range(len(cases)))
    # The judge has to know a name that may shadow a built-in one.
    name = entry_point.strip() if entry_point.strip().isidentifier() else ""
    return CodeTests(TestKind.ASSERT, cases, numbers, entry_point=name, setup=harness.setup, prefix=prefix)
