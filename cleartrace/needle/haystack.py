"""Filler text and where the needles lie in it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from random import Random

from cleartrace.needle.words import ADJECTIVES, NOUNS, PLACES, VERBS

Counter = Callable[[Sequence[str]], list[int]]
"""Texts to their lengths."""

_MODULES = (
    "argparse", "asyncio", "bisect", "calendar", "collections", "concurrent.futures", "configparser", "contextlib",
    "csv", "dataclasses", "datetime", "decimal", "difflib", "email.message", "enum", "fractions", "functools", "heapq",
    "html.parser", "http.client", "imaplib", "inspect", "ipaddress", "itertools", "json", "logging", "mailbox",
    "multiprocessing.pool", "optparse", "pathlib", "pickle", "queue", "random", "re", "sched", "selectors", "shutil",
    "smtplib", "socket", "sqlite3", "statistics", "string", "subprocess", "tarfile", "tempfile", "textwrap",
    "threading", "timeit", "traceback", "types", "unittest", "urllib.request", "uuid", "weakref", "zipfile",
)  # fmt: skip
_REMEMBERED = 400
# Nothing in the filler may look like an answer: no long numbers, no words in capitals.
_LIKE_AN_ANSWER = re.compile(r"\d{3}|\b[A-Z]{4,}\b")


class Filler(str, Enum):
    """What the haystack is made of."""

    DOCS = "docs"
    """Sentences from the docstrings of Python's standard library; they differ between Python versions."""
    GRAMMAR = "grammar"
    """Sentences of a small grammar: the same everywhere, and monotonous."""


def count_words(texts: Sequence[str]) -> list[int]:
    """Lengths in words, where no tokenizer is at hand."""
    return [len(text.split()) for text in texts]


def token_counter(folder: Path) -> Counter:
    """Lengths in tokens of a model folder's tokenizer, special tokens left out.

    Raises:
        FileNotFoundError: the folder has no `tokenizer.json`.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give a model folder with a fast tokenizer")
    tokenizer = Tokenizer.from_file(str(path))
    known: dict[str, int] = {}

    def count(texts: Sequence[str]) -> list[int]:
        new = [text for text in texts if text not in known]
        encodings = tokenizer.encode_batch(new, add_special_tokens=False) if new else []
        fresh = {text: len(encoding.ids) for text, encoding in zip(new, encodings, strict=True)}
        # Filler sentences come again in every case; whole haystacks never do.
        known.update((text, size) for text, size in fresh.items() if len(text) < _REMEMBERED)
        return [fresh[text] if text in fresh else known[text] for text in texts]

    return count


def filler_sentences(filler: Filler, rng: Random) -> Iterator[str]:
    """Endless sentences in an order that `rng` decides."""
    if filler is Filler.GRAMMAR:
        while True:
            yield _grammar_sentence(rng)
    sentences = list(library_sentences())
    while True:
        rng.shuffle(sentences)
        yield from sentences


def _grammar_sentence(rng: Random) -> str:
    first, second, third = rng.sample(NOUNS, 3)
    one, two, three = rng.sample(ADJECTIVES, 3)
    verb, place = rng.choice(VERBS), rng.choice(PLACES)
    return f"The {one} {first} {verb} the {two} {second} {place} the {three} {third}."


@cache
def library_sentences() -> tuple[str, ...]:
    """Different sentences of 6 to 40 words from the standard library's docstrings, sorted."""
    found: set[str] = set()
    for name in _MODULES:
        module = importlib.import_module(name)
        for _, value in [("", module), *inspect.getmembers(module, lambda v: inspect.isclass(v) or callable(v))]:
            found.update(_sentences(inspect.getdoc(value) or ""))
            for _, method in inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else ():
                found.update(_sentences(inspect.getdoc(method) or ""))
    return tuple(sorted(found))


def _sentences(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        if ">>>" in paragraph or "::" in paragraph:
            continue
        for sentence in re.split(r"(?<=[.?!])\s+", " ".join(paragraph.split())):
            whole = sentence[:1].isupper() and sentence.endswith((".", "?", "!"))
            if whole and 6 <= len(sentence.split()) <= 40 and not _LIKE_AN_ANSWER.search(sentence):
                yield sentence


@dataclass(frozen=True)
class Haystack:
    """Filler sentences and a place for each needle: `slots[i]` of them stand before needle i.

    `size`: tokens (or words) of the text it was measured in, with the needles it was made for.
    """

    filler: tuple[str, ...]
    slots: tuple[int, ...]
    size: int

    def text(self, needles: Sequence[str]) -> str:
        """One paragraph. Other needles in the same haystack give a text that differs in them alone."""
        return _woven(self.filler, self.slots, needles)


def make_haystack(
    needles: Sequence[str],
    depth: float,
    length: int,
    filler: Filler,
    rng: Random,
    *,
    count: Counter = count_words,
    frame: Callable[[str], str] = str,
) -> Haystack:
    """As much filler as fits with the needles and the `frame` around the text into `length` tokens (or words).

    The first needle lies at `depth`, from 0 (at the start) to 1 (at the end); the others lie anywhere.

    Raises:
        ValueError: needles and frame alone are longer than `length`, or `depth` is not in [0, 1].
    """
    if not 0 <= depth <= 1:
        raise ValueError(f"a depth lies in [0, 1], got {depth}")
    bare = count([frame(" ".join(needles))])[0]
    if bare > length:
        raise ValueError(f"a length of {length} has no room: the needles and the prompt around them take {bare}")
    sentences, sizes = _fitting(length - bare, filler_sentences(filler, rng), count)
    others = [rng.random() for _ in needles[1:]]
    while True:
        slots = (_slot(depth, sizes), *(_slot(share, sizes) for share in others))
        # Tokens may merge at the joints, so the whole text is measured.
        size = count([frame(_woven(sentences, slots, needles))])[0]
        if size <= length or not sentences:
            return Haystack(tuple(sentences), slots, size)
        sentences.pop()
        sizes.pop()


def _fitting(room: int, source: Iterator[str], count: Counter) -> tuple[list[str], list[int]]:
    sentences: list[str] = []
    sizes: list[int] = []
    while True:
        batch = [next(source) for _ in range(64)]
        for sentence, size in zip(batch, count([f" {sentence}" for sentence in batch]), strict=True):
            if size > room:
                return sentences, sizes
            room -= size
            sentences.append(sentence)
            sizes.append(size)


def _woven(filler: Sequence[str], slots: Sequence[int], needles: Sequence[str]) -> str:
    before: dict[int, list[str]] = {}
    for slot, needle in zip(slots, needles, strict=True):
        before.setdefault(slot, []).append(needle)
    parts: list[str] = []
    for i, sentence in enumerate(filler):
        parts += [*before.get(i, []), sentence]
    return " ".join([*parts, *before.get(len(filler), [])])


def _slot(share: float, sizes: Sequence[int]) -> int:
    """The sentence boundary nearest to a share of the filler's length."""
    target, passed = share * sum(sizes), 0
    for i, size in enumerate(sizes):
        if target <= passed + size / 2:
            return i
        passed += size
    return len(sizes)
