"""Verdicts in a file: kept as they come in, and played back."""

from __future__ import annotations

import json
from pathlib import Path

from cleartrace.data.files import read_json_lines
from cleartrace.pairs.mine.trajectories.judge.case import Case, Judge, JudgeError, Verdict


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """By `Case.key`. A line that a kill cut short is passed over: its verdict is asked for again."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = map(json.loads, whole.splitlines())
    return {row["key"]: Verdict.from_json(row) for row in rows}


class Recorder:
    """Asks `judge` once per case and appends what it says to `path`."""

    def __init__(self, judge: Judge, path: Path) -> None:
        self.name = judge.name
        self._judge, self._path, self._known = judge, path, read_verdicts(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and not (text := path.read_bytes()).endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(text.rfind(b"\n") + 1)

    def __call__(self, case: Case) -> Verdict:
        verdict = self._known.get(case.key)
        if verdict is None:
            verdict = self._known[case.key] = self._judge(case)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": case.key, **verdict.to_json()}) + "\n")
        return verdict


class Replay:
    """The judge of a recording.

    Raises:
        DataError: there is no such file.
        JudgeError: a case was never recorded (the masking or the data changed since).
    """

    def __init__(self, path: Path) -> None:
        self.name = f"replay:{path.name}"
        self._path = path
        self._verdicts = {row["key"]: Verdict.from_json(row) for _, row in read_json_lines(path)}

    def __call__(self, case: Case) -> Verdict:
        if case.key not in self._verdicts:
            raise JudgeError(f"{self._path}: no verdict on case {case.key[:12]}; record it with a judge that answers")
        return self._verdicts[case.key]
