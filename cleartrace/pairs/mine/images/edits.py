"""Runs an editor and a verifier over questions, and writes the pairs that pass: both pictures, in both directions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from cleartrace.data.files import whole_file
from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.mine.images.editing import Editor, NoEdit, Verdict, Verifier
from cleartrace.pairs.mine.images.journal import Journal
from cleartrace.pairs.mine.images.question import ImageQuestion
from cleartrace.pairs.record import ImageRef, Pair, PairKind, both_directions

CHUNK = 64


class Outcome(str, Enum):
    """How a question ended, where no criterion failed."""

    KEPT = "kept"
    NO_EDIT = "no_edit"
    UNREADABLE = "unreadable_image"


def edit_pairs(
    questions: Iterable[ImageQuestion],
    editor: Editor,
    verifier: Verifier,
    out: Path,
    settings: dict[str, Any],
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Write `out` (pairs), `<out>.funnel.json`, and the edited pictures to the folder `<stem>-images`.

    A killed run goes on with the same call: questions in `<out>.journal` are not edited again.

    Args:
        settings: what the result depends on; kept in the journal and the funnel.
        workers: questions at a time, for editors behind an endpoint.
        progress: called with the number of questions done.

    Returns: how many questions there were, and how many ended in which way.
    """
    folder = images_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    asked: list[ImageQuestion] = []
    with Journal(Path(f"{out}.journal"), settings) as journal, ThreadPoolExecutor(workers) as pool:
        for chunk in _chunks(questions):
            asked += chunk
            list(pool.map(lambda q: _edit_one(q, editor, verifier, folder, journal), chunk))
            if progress:
                progress(len(asked))
    rows = journal.rows
    write_pairs(out, (pair for question in asked for pair in _pairs(question, rows[question.id], folder)))
    funnel = {"questions": len(asked), **Counter(rows[question.id]["outcome"] for question in asked)}
    write_funnel(out, settings, funnel)
    return funnel


def images_folder(out: Path) -> Path:
    """Where the pictures of the pairs file `out` lie."""
    return out.with_name(f"{out.stem}-images")


def write_funnel(out: Path, settings: dict[str, Any], funnel: dict[str, int]) -> None:
    """Write `<out>.funnel.json`: settings, and counts in the order of the stages."""
    with whole_file(Path(f"{out}.funnel.json")) as partial:
        partial.write_text(json.dumps({"settings": settings, "funnel": funnel}, indent=2) + "\n", encoding="utf-8")


def _chunks(questions: Iterable[ImageQuestion]) -> Iterator[list[ImageQuestion]]:
    source = iter(questions)
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def _edit_one(question: ImageQuestion, editor: Editor, verifier: Verifier, folder: Path, journal: Journal) -> None:
    if question.id in journal:
        return
    try:
        with Image.open(question.image) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        journal.add(question.id, {"outcome": Outcome.UNREADABLE.value, "reason": str(error)})
        return
    try:
        edit = editor.edit(question, image)
    except NoEdit as error:
        journal.add(question.id, {"outcome": Outcome.NO_EDIT.value, "reason": str(error)})
        return
    verdict = verifier.verify(question, image, edit)
    facts = {"answer": edit.answer, "instruction": edit.instruction, "reason": verdict.reason}
    if verdict.passed:
        with whole_file(_edited_path(folder, question)) as partial:
            edit.image.save(partial, format="PNG")
    journal.add(question.id, {"outcome": _outcome(verdict), **facts})


def _outcome(verdict: Verdict) -> str:
    return Outcome.KEPT.value if verdict.passed else verdict.failed[0].value


def _edited_path(folder: Path, question: ImageQuestion) -> Path:
    return folder / f"{question.id.replace('/', '_')}.edited.png"


def _pairs(question: ImageQuestion, row: dict[str, Any], folder: Path) -> tuple[Pair, ...]:
    if row["outcome"] != Outcome.KEPT.value:
        return ()
    return both_directions(
        id=question.id,
        kind=PairKind.IMAGE,
        question=question.question,
        answers=(question.answer, row["answer"]),
        contexts=(ImageRef(path=question.image), ImageRef(path=str(_edited_path(folder, question).resolve()))),
        group=question.group,
        source=question.source,
        meta={"edit": row["instruction"]},
    )
