"""The data card: what a set of pairs is, how it came about, and what the shortcuts score on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from cleartrace.data.files import file_sha256, whole_file
from cleartrace.pairs.audit.facts import context_text, length_ratio, ngram_overlap_gap, turns
from cleartrace.pairs.audit.shortcuts import Score
from cleartrace.pairs.record import Pair

LENGTH_RATIO, TURNS = (0.8, 1.25), 3


def both_direction_share(pairs: Sequence[Pair]) -> float:
    """Share of pairs whose contexts also come the other way round (W2); 1.0 for what our builders write."""
    seen = {(p.question, context_text(p.pos), context_text(p.neg)) for p in pairs}
    back = sum((p.question, context_text(p.neg), context_text(p.pos)) in seen for p in pairs)
    return back / len(pairs) if pairs else 0.0


def pair_facts(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Per-pair measures of spec 6.5 over the set. Ratios are of tokens, supporting over confounding."""
    ratios = [length_ratio(pair) for pair in pairs]
    gaps = [abs(turns(pair.pos) - turns(pair.neg)) for pair in pairs]
    overlaps = [ngram_overlap_gap(p.answer, context_text(p.pos), context_text(p.neg)) for p in pairs]
    return {
        "length_ratio": {"min": min(ratios), "median": median(ratios), "max": max(ratios)},
        "length_ratio_outside": sum(not LENGTH_RATIO[0] <= ratio <= LENGTH_RATIO[1] for ratio in ratios),
        "turn_difference_above_3": sum(gap > TURNS for gap in gaps),
        "overlap_gap": {"mean": fmean(overlaps), "largest": max(overlaps, key=abs)},
    }


def data_card(
    files: Sequence[Path], pairs: Sequence[Pair], scores: Sequence[Score], funnel: dict[str, Any] | None = None
) -> dict[str, Any]:
    """JSON-ready card of the pairs in `files`. `funnel`: of the run that mined them."""
    return {
        "files": {path.name: file_sha256(path) for path in files},
        "pairs": len(pairs),
        "groups": len({pair.group for pair in pairs}),
        "kinds": dict(sorted(Counter(pair.kind.value for pair in pairs).items())),
        "sources": dict(sorted(Counter(pair.source for pair in pairs).items())),
        "both_directions": both_direction_share(pairs),
        "facts": pair_facts(pairs) if pairs else {},
        "shortcuts": [score.to_json() for score in scores],
        "funnel": funnel,
    }


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
