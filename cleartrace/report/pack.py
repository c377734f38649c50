"""Trajectories as they lie in the page: a light index for the list, and gzipped chunks decoded when opened."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cleartrace.tools.result import MODEL_FAILURES
from cleartrace.trajectory.record import TrajectoryRecord

CHUNK_ROWS = 25
MAX_ROWS = 5_000
MAX_TOKENS = 2_500_000


@dataclass(frozen=True)
class Packed:
    """Base64 texts; their alphabet has no `<`, so no model output can end the element that holds them."""

    index: str
    chunks: tuple[str, ...]
    rows: int
    stride: int


def pack(records: Sequence[TrajectoryRecord], *, max_rows: int = MAX_ROWS, max_tokens: int = MAX_TOKENS) -> Packed:
    """Pack at most about `max_rows` trajectories and `max_tokens` tokens, evenly spaced over the run."""
    tokens = sum(len(segment.token_ids) for record in records for segment in record.segments)
    stride = max(1, math.ceil(len(records) / max_rows), math.ceil(tokens / max_tokens))
    shown = records[::stride]
    chunks = tuple(
        _encode([_detail(record) for record in shown[start : start + CHUNK_ROWS]])
        for start in range(0, len(shown), CHUNK_ROWS)
    )
    index = {"chunkRows": CHUNK_ROWS, "columns": _index_columns(shown)}
    return Packed(_encode(index), chunks, len(shown), stride)


def _encode(value: Any) -> str:
    # mtime=0 keeps the report of one run byte-identical from build to build.
    raw = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    return base64.b64encode(gzip.compress(raw, compresslevel=6, mtime=0)).decode("ascii")


def _index_columns(records: Sequence[TrajectoryRecord]) -> dict[str, list[Any]]:
    rows = [_index_row(record) for record in records]
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}


def _index_row(record: TrajectoryRecord) -> dict[str, Any]:
    return {
        "step": record.step,
        "split": record.split,
        "arm": record.arm,
        "sample": record.sample_id,
        "rollout": record.rollout,
        "source": record.data_source,
        "acc": record.acc,
        "reward": _finite(record.reward),
        "masked": record.masked,
        "turns": record.num_turns,
        "calls": sum(call.kept for call in record.tool_calls),
        "failed": sum(call.status in MODEL_FAILURES for call in record.tool_calls),
        "repairs": len(record.repairs),
        "recovered": sum(repair.outcome == "recovered" for repair in record.repairs),
        "generated": record.generated_tokens,
        "question": record.question[:300],
        "prediction": (record.prediction or "")[:80],
        "errors": " ".join(sorted({call.error_class for call in record.tool_calls if call.error_class})),
    }


def _detail(record: TrajectoryRecord) -> dict[str, Any]:
    detail = record.model_dump(mode="python", exclude={"schema_version", "run"})
    detail["reward"] = _finite(record.reward)
    detail["counters"] = {key: _finite(value) for key, value in record.counters.items()}
    for segment in detail["segments"]:
        if segment["logprobs"] is not None:
            segment["logprobs"] = [_finite(value) for value in segment["logprobs"]]
    for call in detail["tool_calls"]:
        call["cost_s"] = _finite(call["cost_s"])
    for repair in detail["repairs"]:
        repair["similarity"] = _finite(repair["similarity"])
        repair["gate"] = _finite(repair["gate"])
    return detail


def _finite(value: float | None) -> float | None:
    """Three decimals are what a reader sees; NaN and infinity have no JSON."""
    return round(value, 3) if value is not None and math.isfinite(value) else None
