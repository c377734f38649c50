"""The arms on the test customers, under common seeds, each once; and the comparison of all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cleartrace.evaluate.context.arm import Arm
from cleartrace.evaluate.context.compare import Paired, compare
from cleartrace.evaluate.context.metrics import summarise
from cleartrace.evaluate.context.page import Comparison, write_comparison
from cleartrace.evaluate.context.run import RUNS, Plan, load_arm, measure
from cleartrace.llm.tokens import count_tokens
from recipe.clear.serving import served
from recipe.clear.settings import BASE_MODEL, CAP, NO_CONTRAST, PASSES, REPLY_TOKENS, Seed
from recipe.clear.training import grpo_model, sft_model

ARMS = ("no context", "RAG", "untuned model", "SFT, no contrast", "SFT", "SFT + RL")
CHARGED_ARMS = ("no context", "SFT", "SFT + RL")
PAIRS = (
    *(("no context", other) for other in ARMS[1:]),
    ("RAG", "SFT"), ("RAG", "SFT + RL"), ("SFT, no contrast", "SFT"), ("SFT", "SFT + RL"),
)  # fmt: skip


def arms_of(seed: Seed) -> tuple[str, ...]:
    return CHARGED_ARMS if seed.charged else ARMS


def models(seed: Seed) -> dict[str, Path]:
    return {
        "untuned model": BASE_MODEL,
        "SFT, no contrast": sft_model(seed, NO_CONTRAST),
        "SFT": sft_model(seed),
        "SFT + RL": grpo_model(seed),
    }


def evaluate(seed: Seed, name: str) -> Arm:
    """One arm, measured or read: a run that the arm's store holds is not made again."""
    folder = seed.folder / "eval" / name.lower().replace(", ", "-").replace(" + ", "-").replace(" ", "-")
    finished = next(folder.glob(f"*/{RUNS}"), None)
    if finished is None:
        with _context(seed, name, folder) as spec:
            plan = Plan((spec,), "test", PASSES, cap=CAP, seed=seed.number)
            (arm,) = asyncio.run(measure(seed.agent, plan, folder))
    else:
        arm = load_arm(finished.parent)
    return replace(arm, name=name)


@contextmanager
def _context(seed: Seed, name: str, folder: Path) -> Iterator[str]:
    if name == "no context":
        yield "none"
    elif name == "RAG":
        yield f"rag:{seed.folder}/rag.jsonl"
    else:
        with served(models(seed)[name], folder / "serve.log") as model:
            yield f"model:{model}?temperature=0&max_tokens={REPLY_TOKENS}"


def pairs(arms: dict[str, Arm]) -> list[Paired]:
    return [compare(arms[base], arms[other]) for base, other in PAIRS if {base, other} <= arms.keys()]


def write(seed: Seed, arms: dict[str, Arm]) -> Path:
    """comparison.json, .md and .html; the page's path."""
    title = f"CLEAR in the rule world, seed {seed.number}{', charged' if seed.charged else ''}"
    comparison = Comparison(title, tuple(map(summarise, arms.values())), tuple(pairs(arms)))
    return write_comparison(comparison, seed.folder)


def rows(arms: dict[str, Arm]) -> Iterator[dict[str, object]]:
    """One for each run of each arm: whatever a table needs, so that no weights need be kept."""
    for name, arm in arms.items():
        for (task, pass_seed), episode in arm.by_key().items():
            context = episode.trajectory.context
            yield {
                "arm": name, "task": task, "pass": arm.manifest.seeds.index(pass_seed),
                "score": "" if episode.outcome.score is None else episode.outcome.score,
                "abstained": int(context.abstained), "tokens": count_tokens(context.text),
            }  # fmt: skip
