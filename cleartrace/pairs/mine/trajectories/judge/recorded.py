"""Verdicts in a file: kept as they come in, and played back."""

from __future__ import annotations

import json
from pathlib import Path

from cleartrace.data.files import read_json_lines
from cleartrace.data.growing import LineFile, cut_torn_line
from cleartrace.pairs.mine.trajectories.judge.case import Case, Judge, JudgeError, Verdict


class Recorder:
    """Asks `judge` once per case and appends what it says to `path`.

    A verdict that a kill cut short in the file is asked for again.
    """

    def __init__(self, judge: Judge, path: Path) -> None:
        self.name = judge.name
        self._judge, self._path = judge, path
        cut_torn_line(path)
        self._known = _read(path) if path.is_file() else {}

    def __call__(self, case: Case) -> Verdict:
        verdict = self._known.get(case.key)
        if verdict is None:
            verdict = self._known[case.key] = self._judge(case)
            with LineFile(self._path) as file:
                file.add(json.dumps({"key": case.key, **verdict.to_json()}))
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
        self._verdicts = _read(path)

    def __call__(self, case: Case) -> Verdict:
        if case.key not in self._verdicts:
            raise JudgeError(f"{self._path}: no verdict on case {case.key[:12]}; record it with a judge that answers")
        return self._verdicts[case.key]


def _read(path: Path) -> dict[str, Verdict]:
    """By `Case.key`."""
    return {row["key"]: Verdict.from_json(row) for _, row in read_json_lines(path)}
