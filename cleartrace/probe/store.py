"""The growing answers of a probe: one line each, appended at once, so that a death loses nothing that was paid for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from cleartrace.data.growing import GrowingFolder, StoreError
from cleartrace.probe.answer import Answer

ANSWERS = "answers.jsonl"


class AnswerStore(GrowingFolder):
    """Answers in `answers.jsonl` by the key of their prompt, and the settings under which they were given.

    with AnswerStore(folder, identity) as store:
        todo = [ask for ask in asks if ask.key not in store.done]
        store.append(answer)
    """

    MANIFEST = "probe.json"
    FILES = (ANSWERS,)

    def load(self) -> None:
        self.done = {answer.prompt: answer for answer in read_answers(self.folder / ANSWERS)}

    def append(self, answer: Answer) -> None:
        self.lines[ANSWERS].add(answer.model_dump_json())
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
