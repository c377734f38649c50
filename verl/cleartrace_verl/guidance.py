"""Rewards of CLEAR in the trainer: a rollout is a guidance, and the reward service runs the agent with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from cleartrace.learn.clear.reward.client import ask_of, pooled_client
from cleartrace.learn.clear.reward.names import URL_VARIABLE
from cleartrace.learn.clear.reward.types import Graded

SOURCE = "clear_guidance"
"""`cleartrace.learn.clear.export.DATA_SOURCE`; a test holds them together."""


async def score_guidance(text: str, ground_truth: Any, info: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
    """What `reward.compute_score` answers for a row of `SOURCE`.

    `acc`: the agent passed in every run. `pred`: the guidance as it was given. `guidance_*` feed `guidance_metrics`.

    Raises:
        ServiceMissing, Misconfigured, ValueError: what no retry mends.
    """
    graded = await pooled_client(deadline_s).grade(ask_of(text, ground_truth, info, _step(info)))
    return {
        "score": graded.reward,
        "acc": graded.passed,
        "pred": graded.said,
        "error": f"guidance for {info.get('question_id') or '?'}: {graded.error}" if graded.ungraded else "",
        "ungraded": graded.ungraded,
        "question_id": str(info.get("question_id") or info.get("index") or ""),
        "sample_id": str(info.get("sample_id") or ""),
        "tests": "",
        "shaping": 0.0,
        **_figures(graded),
    }


def _figures(graded: Graded) -> dict[str, float]:
    """Numbers alone, the same names in every row: veRL averages what it finds in validation."""
    return {
        "guidance_agent_score": graded.score or 0.0,
        "guidance_baseline": graded.baseline or 0.0,
        "guidance_has_baseline": float(graded.baseline is not None),
        "guidance_abstained": float(graded.abstained),
        "guidance_tokens": float(graded.tokens),
        "guidance_cut": float(graded.cut),
        "guidance_runs": float(graded.runs),
        "guidance_hits": float(graded.hits),
    }


def _step(info: Mapping[str, Any]) -> int | None:
    """Step of the rollout, from its record; None for rollouts of an agent loop that keeps none."""
    record = info.get("trajectory")
    return int(json.loads(record)["step"]) if record else None


def guidance_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of one step; empty where no row is a guidance. Means are over graded rows alone.

    Args:
        rows: what the reward function returned for each rollout, ungraded ones among them.
    """
    found = [row for row in rows if "guidance_agent_score" in row]
    if not found:
        return {}
    graded = [row for row in found if not row["ungraded"]]
    metrics = {"ungraded": float(len(found) - len(graded))}
    if graded:
        for name in ("agent_score", "abstained", "tokens", "cut"):
            metrics[name] = fmean(row[f"guidance_{name}"] for row in graded)
        runs = sum(row["guidance_runs"] for row in graded)
        metrics["cache_hits"] = sum(row["guidance_hits"] for row in graded) / runs if runs else 0.0
        against = [row["guidance_baseline"] for row in graded if row["guidance_has_baseline"]]
        if against:
            metrics["baseline"] = fmean(against)
    return {f"cleartrace/guidance/{name}": value for name, value in metrics.items()}


def problems(config: Any) -> Iterator[str]:
    """What would stop a training on guidance: nobody says where the reward service is."""
    if os.environ.get(URL_VARIABLE):
        return
    files = config.data.train_files
    for name in [files] if isinstance(files, str) else files:
        if _asks_for_guidance(Path(str(name)).expanduser()):
            yield (
                f"data.train_files: {name} is scored by running an agent, and {URL_VARIABLE} is not set: start "
                "`cleartrace clear reward-serve` and export the address that it prints."
            )


def _asks_for_guidance(path: Path) -> bool:
    import pyarrow.parquet as pq

    if path.suffix != ".parquet" or not path.exists() or "data_source" not in pq.read_schema(path).names:
        return False
    return SOURCE in pq.read_table(path, columns=["data_source"])["data_source"].unique().to_pylist()
