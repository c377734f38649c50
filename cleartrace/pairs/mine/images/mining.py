"""`mine-images` without its command line: embed, retrieve, judge, write."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.mine.images.edits import write_funnel
from cleartrace.pairs.mine.images.embed import Embedder, principal_components
from cleartrace.pairs.mine.images.journal import Journal
from cleartrace.pairs.mine.images.judging import Judgement, MatchJudge
from cleartrace.pairs.mine.images.question import ImageQuestion
from cleartrace.pairs.mine.images.retrieval import Match, RetrievalSettings, Stage, matched_pairs, retrieve
from cleartrace.pairs.mine.images.vectors import embed_all

COMPONENTS = 128
Progress = Callable[[int], None]


def mine_pairs(
    questions: Sequence[ImageQuestion],
    out: Path,
    embedder: Embedder,
    settings: RetrievalSettings,
    judge: MatchJudge | None = None,
    *,
    judge_name: str = "none",
    components: int = COMPONENTS,
    workers: int = 1,
    embedded: Progress | None = None,
    searched: Progress | None = None,
) -> dict[str, int]:
    """Write `out` (pairs) and `<out>.funnel.json`; returns the counts of the funnel.

    A killed run goes on with the same call: vectors lie in `<out>.vectors`, verdicts in `<out>.journal`.

    Args:
        judge: of the last stage; None keeps what the stages before it keep.
        components: length that vectors are reduced to; 0 leaves them as they are.
        workers: judge's requests at a time.
        embedded, searched: called with the number of pictures done.
    """
    images = sorted({question.image for question in questions})
    facts = {
        **asdict(settings),
        "embedder": embedder.name,
        "components": components,
        "judge": judge_name,
        "questions_sha256": _digest(questions),
    }
    vectors = embed_all(images, embedder, Path(f"{out}.vectors"), embedded)
    # Nothing is like an empty picture: it has no direction.
    shown = np.count_nonzero(vectors, axis=1) > 0
    images, vectors = [image for image, some in zip(images, shown, strict=True) if some], vectors[shown]
    if components:
        vectors = principal_components(vectors, components)
    matches, counts = retrieve(questions, images, vectors, settings, searched)
    funnel = {"questions": len(questions), "images": len(shown), "empty_images": len(shown) - len(images)} | {
        stage.value: counts[stage] for stage in Stage if stage is not Stage.JUDGED
    }
    if judge is not None:
        verdicts = _judged(matches, judge, Path(f"{out}.journal"), facts, workers)
        rejected = Counter(verdict for verdict in verdicts if verdict is not Judgement.VALID)
        funnel |= {f"rejected_{verdict.value}": rejected[verdict] for verdict in Judgement if rejected[verdict]}
        matches = [match for match, verdict in zip(matches, verdicts, strict=True) if verdict is Judgement.VALID]
        funnel[Stage.JUDGED.value] = len(matches)
    pairs = matched_pairs(matches)
    write_pairs(out, pairs)
    funnel |= {"pairs": len(pairs), "groups": len({pair.group for pair in pairs})}
    write_funnel(out, facts, funnel)
    return funnel


def _judged(
    matches: Sequence[Match], judge: MatchJudge, path: Path, facts: dict[str, Any], workers: int
) -> list[Judgement]:
    with Journal(path, facts) as journal, ThreadPoolExecutor(workers) as pool:

        def one(match: Match) -> None:
            if match.id not in journal:
                journal.add(match.id, {"judgement": judge.judge(match).value})

        list(pool.map(one, matches))
        return [Judgement(journal.rows[match.id]["judgement"]) for match in matches]


def _digest(questions: Sequence[ImageQuestion]) -> str:
    digest = hashlib.sha256()
    for question in questions:
        digest.update(question.model_dump_json().encode() + b"\n")
    return digest.hexdigest()
