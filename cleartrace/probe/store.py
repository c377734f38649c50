"""The growing answers of a probe: one line each, appended at once, so that a death loses nothing that was paid for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cleartrace.evaluate.store import StoreError, append_line, cut_torn_line, lock_folder, settle_identity
from cleartrace.probe.answer import Answer

ANSWERS = "answers.jsonl"
IDENTITY = "probe.json"


class AnswerStore:
    """Answers in `answers.jsonl` by the key of their prompt, and the settings under which they were given.

        with AnswerStore(folder, identity) as store:
            todo = [ask for ask in asks if ask.key not in store.done]
            store.append(answer)

    One process at a time may write to a folder.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.done: dict[str, Answer] = {}
        self._identity = identity
        self._lock = self._file = -1

    def __enter__(self) -> AnswerStore:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder)
        try:
            settle_identity(self.folder, IDENTITY, ANSWERS, self._identity)
            path = self.folder / ANSWERS
            cut_torn_line(path)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self.done = {answer.prompt: answer for answer in read_answers(path)}
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._file = -1

    def append(self, answer: Answer) -> None:
        append_line(self._file, answer.model_dump_json())
        self.done[answer.prompt] = answer


def read_answers(path: Path) -> Iterator[Answer]:
    """Whole lines in file order. Raises StoreError for one that is no answer."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield Answer.model_validate_json(line)
            except ValidationError as error:
                raise StoreError(f"{path}, line {number}: not an answer ({error.errors()[0]['msg']})") from None
