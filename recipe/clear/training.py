"""Second half of the miniature: SFT twice, GRPO once, each in processes of its own that resume by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from recipe.clear.settings import BATCH, CAP, EPOCHS, TOKEN_COST, Seed


class TrainingFailed(RuntimeError):
    """A training ended with an error; its log says which."""


def sft_steps(seed: Seed, name: str) -> int:
    rows = pq.read_metadata(seed.project(name).export / "verl/train.parquet").num_rows
    return max(EPOCHS * rows // BATCH, 1)


def sft_model(seed: Seed, name: str = "") -> Path:
    return seed.sft(name) / f"checkpoints/global_step_{sft_steps(seed, name)}/huggingface"


def grpo_model(seed: Seed) -> Path:
    return seed.grpo / f"checkpoints/global_step_{seed.grpo_steps}/actor/huggingface"


def train_sft(seed: Seed, name: str = "") -> None:
    """The published 5 epochs over the rows; ends at once when they are done."""
    steps, files = sft_steps(seed, name), seed.project(name).export / "verl"
    command = [
        *(sys.executable, "-m", "cleartrace_verl.sft", "--recipe", "recipe/clear/sft", "experiment=ruleworld"),
        f"trainer.experiment_name=clear_ruleworld_sft{seed.number}{name.replace('-', '_')}",
        f"cleartrace.run_dir={seed.sft(name)}",
        f"trainer.seed={seed.number}",
        f"trainer.total_training_steps={steps}",
        f"data.train_files={files}/train.parquet",
        f"data.val_files={files}/held_out.parquet",
        "engine.mixed_precision.param_dtype=bf16",  # as GRPO; on the command line, past the limit of a CPU
    ]
    _run(command, seed.sft(name))


def train_grpo(seed: Seed) -> None:
    """From the model after SFT; only its weights change."""
    if _finished(seed):
        return
    command = [
        *(sys.executable, "-m", "recipe.clear.grpo", "ruleworld", "--store", str(seed.runs)),
        *("--agent", f"environment_options={json.dumps(seed.world)}"),
        *(f"--rule={rule}" for rule in (f"seed={seed.number}", f"cap={CAP}", *_charge(seed))),
        "--",
        *("--recipe", "recipe/clear", "experiment=ruleworld"),
        f"trainer.experiment_name=clear_ruleworld_grpo_{seed.name}",
        f"cleartrace.run_dir={seed.grpo}",
        f"cleartrace.seed={seed.number}",
        f"actor_rollout_ref.model.path={sft_model(seed)}",
        f"data.train_files={seed.prompts('train')}",
        f"data.val_files={seed.prompts('held_out')}",
        *(f"trainer.{key}={seed.grpo_steps}" for key in ("total_training_steps", "save_freq")),
        # Guidances that all pass differ in their length, and so teach something here.
        *(["algorithm.filter_groups.metric=reward"] if seed.charged else []),
    ]
    _run(command, seed.grpo)


def _finished(seed: Seed) -> bool:
    """Whether the last model is there, and the report, which a run writes when all else is done."""
    mark = seed.grpo / "checkpoints/latest_checkpointed_iteration.txt"
    return (seed.grpo / "report.html").exists() and mark.exists() and int(mark.read_text()) >= seed.grpo_steps


def _charge(seed: Seed) -> list[str]:
    return ["subtract_baseline=true", f"token_cost={TOKEN_COST}"] if seed.charged else []


def _run(command: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "console.log"
    with log.open("a") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode
    if status:
        raise TrainingFailed(f"exit status {status}; {log} says why, and the same command goes on")
