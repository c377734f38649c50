"""One pair as its prompt, for a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cleartrace.pairs.files import iter_pairs
from cleartrace.pairs.prompt import PairPrompt, render
from cleartrace.pairs.record import Order, Pair


def shown(files: Sequence[Path], id: str | None, order: Order, letters: tuple[str, str], include_issue: bool) -> str:
    """The prompt of the pair `id`, or of the first pair, with its facts. Images are shown as their paths.

    Errors: `ValueError` when there is no such pair.
    """
    for path in files:
        for pair in iter_pairs(path):
            if id in (None, pair.id):
                return _text(pair, render(pair, order, letters, include_issue=include_issue))
    raise ValueError(f"there is no pair {id or ''} in {', '.join(str(path) for path in files)}")


def _text(pair: Pair, prompt: PairPrompt) -> str:
    facts = f"[{pair.id}: {pair.kind.value}, group {pair.group}, source {pair.source}]"
    return f"{facts}\n\n{_content(prompt)}\n\n[right: {prompt.correct}]"


def _content(prompt: PairPrompt) -> str:
    content, images = prompt.messages[0]["content"], iter(prompt.images)
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else f"[image {next(images).path}]" for part in content)
