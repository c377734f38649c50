"""Bodies of version 2: one run, batches, suites, sessions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator, model_validator

from code_judge.api.protocol import Limits
from code_judge.jobs import Compare, SuiteKind

MAX_FILE_BYTES = 16 << 20
_MAX_FILES = 256


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def default_limits() -> Limits:
    """None asked for: the server's defaults."""
    return Limits.model_validate({})


def _check_name(name: str) -> str:
    parts = name.split("/")
    if not name or len(name) > 255 or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r} is not a relative path below the work directory")
    if parts[0] in ("main.py", "main", "main.cpp"):
        raise ValueError(f"the name {name!r} is the program's own")
    return name


def _above(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


class CaseModel(_Strict):
    """One case. `stdio` reads input and expected; `call` args, kwargs, expected; `assert` code."""

    input: SkipValidation[str | None] = None
    expected: Any = None
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    entry_point: str | None = Field(None, description="For this case only.")
    code: SkipValidation[str | None] = None


class SuiteModel(_Strict):
    """Tests of one program. The program sees neither them nor what they expect."""

    kind: SuiteKind
    cases: list[CaseModel] = Field(min_length=1, max_length=100_000)
    entry_point: str = Field("", description="Function `f`, or `Class.method`. Assert tests know it as `candidate`.")
    setup: SkipValidation[str] = Field("", description="Assert: code that runs before the cases, in their process.")
    stop_early: bool = Field(False, description="Run no case after the first that fails.")
    compare: Compare = Compare.STRIP
    tolerance: float = Field(0.0, ge=0)
    wall_s: float | None = Field(None, gt=0, description="For all cases together.")

    @model_validator(mode="after")
    def _complete(self) -> SuiteModel:
        for index, case in enumerate(self.cases):
            for name in ("input", "code"):
                if getattr(case, name) is not None and not isinstance(getattr(case, name), str):
                    raise ValueError(f"cases.{index}.{name} must be a string")
            if self.kind is SuiteKind.ASSERT and case.code is None:
                raise ValueError(f"cases.{index}.code is missing")
            if self.kind is SuiteKind.STDIO and case.expected is not None and not isinstance(case.expected, str):
                raise ValueError(f"cases.{index}.expected must be a string")
            if self.kind is SuiteKind.CALL and not (case.entry_point or self.entry_point):
                raise ValueError("entry_point is missing")
        return self


class RunRequest(_Strict):
    """One program, with everything that can be asked of a run."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"source": "print(int(input()) + 1)", "stdin": "41", "expected_output": "42", "limits": {"cpu_s": 1}},
                {
                    "source": "def add(a, b): return a + b",
                    "suite": {"kind": "call", "entry_point": "add", "cases": [{"args": [1, 2], "expected": 3}]},
                },
            ]
        },
    )
    sub_id: str | None = Field(None, min_length=1, max_length=512, description="Idempotency key: other content is 409.")
    language: Literal["python", "cpp"] = "python"
    source: SkipValidation[str]
    stdin: SkipValidation[str | None] = None
    expected_output: SkipValidation[str | None] = Field(None, description="Compared after strip(); no run sees it.")
    echo: bool = Field(False, description="Print the value of a trailing expression, as a notebook does.")
    limits: Limits = Field(default_factory=default_limits)
    files: dict[str, str] = Field(default_factory=dict, max_length=_MAX_FILES, description="Name to base64.")
    fetch: list[str] = Field(default_factory=list, max_length=_MAX_FILES, description="Files to send back.")
    binary: bool = Field(False, description="Also send stdout in base64 where it is not UTF-8.")
    suite: SuiteModel | None = None
    deadline_s: float | None = Field(None, gt=0, description="Longest time in all; then the answer is infra_error.")

    @field_validator("source", "stdin", "expected_output")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise ValueError("must be a string")
        return value

    @field_validator("files")
    @classmethod
    def _files(cls, value: dict[str, str]) -> dict[str, str]:
        total = 0
        for name, data in value.items():
            _check_name(name)
            if above := next((part for part in _above(name) if part in value), None):
                raise ValueError(f"{above!r} is a file, and {name!r} wants it to be a directory")
            try:
                total += len(base64.b64decode(data, validate=True))
            except binascii.Error as error:
                raise ValueError(f"{name!r} is not base64: {error}") from None
        if total > MAX_FILE_BYTES:
            raise ValueError(f"{total} bytes of files; the limit is {MAX_FILE_BYTES}")
        return value

    @field_validator("fetch")
    @classmethod
    def _fetch(cls, value: list[str]) -> list[str]:
        return [_check_name(name) for name in value]

    @model_validator(mode="after")
    def _fits(self) -> RunRequest:
        if self.source is None:
            raise ValueError("source must be a string")
        if self.language != "python" and (self.echo or (self.suite and self.suite.kind is not SuiteKind.STDIO)):
            raise ValueError("echo, call and assert suites are for python only")
        if self.suite and (self.stdin or self.expected_output or self.files or self.fetch):
            raise ValueError("a suite has its own stdin and expected; files cannot go with one")
        return self


class BatchRequest(_Strict):
    """Several runs. Each is answered by itself; a bad one costs only itself."""

    runs: list[SkipValidation[RunRequest]] = Field(min_length=1)


class SessionRequest(_Strict):
    """A stateful interpreter. `limits` are those of cells that name none; memory and processes bound all together."""

    limits: Limits = Field(default_factory=default_limits)
    idle_s: float | None = Field(None, gt=0, description="Ends after so long without use.")
    code: str = Field("", description="Code of the kind that will follow; its imports choose a warm interpreter.")


class CellRequest(_Strict):
    """One cell. With `rollback` a cell that fails leaves the state as it was before."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"code": "a = 1\na"}]})
    code: SkipValidation[str]
    echo: bool = True
    rollback: bool = False
    limits: Limits | None = None

    @field_validator("code")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be a string")
        return value
