"""Files of an SFT run: what its data must be, how many steps it has, and metrics that survive a resume."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from cleartrace.data.files import whole_file

METRICS, METRICS_PART = "metrics.jsonl", "metrics.part.jsonl"
"""veRL's file logger empties its file at each start, so that it gets a part of its own."""


def problems(config: DictConfig) -> list[str]:
    """What would stop the run, one sentence each with what to do. Empty: it can start."""
    return [*_model(config), *_data(config), *_batches(config), *_validation(config)]


def _model(config: DictConfig) -> Iterator[str]:
    path = str(config.model.path)
    local = path.startswith((".", "/", "~")) or Path(path).parts[0] in ("dataset", "runs")
    if local and not (Path(path).expanduser() / "config.json").exists():
        yield f"No model at {path}: set model.path to a folder with a config.json."


def _data(config: DictConfig) -> Iterator[str]:
    for key in ("train_files", "val_files"):
        for path in files_of(config, key):
            if not path.exists():
                yield (
                    f"data.{key}: there is no file {path}. `cleartrace data fetch` brings the published set, "
                    "`bash recipe/cleaner/sft_tiny.sh` writes the demonstrations of sft_tiny, and "
                    "`cleartrace clear export --to verl` the rows of CLEAR."
                )
                continue
            import pyarrow.parquet as pq

            columns = pq.read_schema(path).names
            if config.data.messages_key not in columns:
                yield f"data.{key}: {path} lacks the column {config.data.messages_key}; it has {', '.join(columns)}."


def _batches(config: DictConfig) -> Iterator[str]:
    """veRL leaves out what does not fill a batch, and cuts a rank's rows into micro-batches without a remainder."""
    data, shards = config.data, config.engine.ulysses_sequence_parallel_size
    ranks, batch = world_size(config) // shards, data.train_batch_size
    if ranks < 1 or batch % ranks:
        yield (
            f"data.train_batch_size={batch} cannot be shared by {ranks} data-parallel ranks ({world_size(config)} "
            f"processes over engine.ulysses_sequence_parallel_size={shards})."
        )
        return
    if not data.use_dynamic_bsz and (batch // ranks) % data.micro_batch_size_per_gpu:
        yield (
            f"data.micro_batch_size_per_gpu={data.micro_batch_size_per_gpu} does not divide the {batch // ranks} rows "
            "of a rank: choose a value that does."
        )
    if data.use_dynamic_bsz and data.max_token_len_per_gpu * shards < data.max_length:
        yield (
            f"data.max_token_len_per_gpu={data.max_token_len_per_gpu} has no room for a row of "
            f"data.max_length={data.max_length} tokens: raise it, or lower data.max_length."
        )
    for key in ("train_files", "val_files"):
        rows = row_count(config, key)
        if rows is not None and rows < batch:
            yield f"data.train_batch_size={batch} is more than the {rows} rows of data.{key}: lower it."


def _validation(config: DictConfig) -> Iterator[str]:
    frequency = config.trainer.test_freq
    if config.data.val_files is None and (isinstance(frequency, str) or frequency > 0):
        yield f"trainer.test_freq={frequency} needs data.val_files."


def world_size(config: DictConfig) -> int:
    return config.trainer.nnodes * config.trainer.n_gpus_per_node


def files_of(config: DictConfig, key: str) -> list[Path]:
    """`data.<key>` as paths; empty where it is null."""
    files = config.data[key]
    if files is None:
        return []
    return [Path(str(name)).expanduser() for name in ([files] if isinstance(files, str) else files)]


def row_count(config: DictConfig, key: str = "train_files") -> int | None:
    """Rows of `data.<key>` that are used, or None where it is null or a file is missing."""
    import pyarrow.parquet as pq

    files = files_of(config, key)
    if not files or not all(path.exists() for path in files):
        return None
    rows = sum(pq.read_metadata(path).num_rows for path in files)
    limit = config.data[key.replace("files", "max_samples")]
    return min(rows, limit) if limit and limit > 0 else rows


def total_steps(config: DictConfig) -> int | None:
    """Optimizer steps of the whole run, or None while a file is missing."""
    rows = row_count(config)
    if rows is None:
        return config.trainer.total_training_steps
    steps = rows // config.data.train_batch_size * config.trainer.total_epochs
    limit = config.trainer.total_training_steps
    return steps if limit is None else min(steps, limit)


def checkpointed_step(config: DictConfig) -> int:
    """Step from which a start resumes; 0 at the beginning."""
    tracker = Path(config.trainer.default_local_dir) / "latest_checkpointed_iteration.txt"
    return int(tracker.read_text()) if tracker.exists() and config.trainer.resume_mode == "auto" else 0


def merge_metrics(run_dir: Path, kept_until: int | None = None) -> None:
    """Move the rows of the part file into `metrics.jsonl`, each (step, kind) once, the newest row of it.

    Args:
        kept_until: drop later steps, which a resumed run will do again; None keeps all.
    """
    part, whole = run_dir / METRICS_PART, run_dir / METRICS
    found = {(row["step"], "val/loss" in row["data"]): row for path in (whole, part) for row in read_rows(path)}
    if not found:
        return
    kept = [row for key, row in sorted(found.items()) if kept_until is None or key[0] <= kept_until]
    with whole_file(whole) as draft:
        draft.write_text("".join(f"{json.dumps(row)}\n" for row in kept))
    part.unlink(missing_ok=True)


def read_rows(path: Path) -> list[dict]:
    """Rows of a JSON-lines file; none where it is missing, and without a last line that a killed process tore."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
