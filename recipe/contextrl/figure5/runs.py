"""One run per arm and seed: fine-tuning where the arm has it, GRPO, the probe of what came out, and one row of CSV."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.files import whole_file
from recipe.contextrl.figure5.arms import DATA, Arm

RESULTS = Path("docs/results/figure5")
RUNS = Path("runs/figure5")
BASE_MODEL = Path("runs/models/smollm2-135m-instruct")
MODEL_NAME = "SmolLM2-135M"
PROBE_PAIRS = 80
COLUMNS = (
    *("method", "model", "seed", "x", "y", "x_low", "x_high"),
    *("y_before", "debiased", "order_consistency", "position_bias", "margin", "blind", "swapped", "minutes"),
)


@dataclass(frozen=True)
class Figure5Job:
    """One arm at one seed."""

    arm: Arm
    seed: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.arm.name}-seed{self.seed}"

    @property
    def csv(self) -> Path:
        return RESULTS / f"{self.name}.csv"

    @property
    def run_dir(self) -> Path:
        return RUNS / self.name

    def commands(self) -> list[list[str]]:
        """Trainings resume by themselves, and the probe goes on where it stood."""
        found = []
        if not self._finished():
            if self.arm.sft:  # returns at once when its steps are done
                found.append(self._sft())
            found.append(self._grpo())
        return [*found, self._probe()]

    def _sft(self) -> list[str]:
        return [
            *(sys.executable, "-m", "cleartrace_verl.sft", "--recipe", "recipe/contextrl/sft"),
            "experiment=figure5",
            f"trainer.experiment_name={self.name}-sft",
            f"cleartrace.run_dir={self.run_dir}/sft",
            f"trainer.seed={self.seed}",
            f"trainer.total_training_steps={self.steps}",
            "engine.mixed_precision.param_dtype=bf16",  # as the GRPO runs; on the command line, past the limit of a CPU
        ]

    def _grpo(self) -> list[str]:
        last = f"checkpoints/global_step_{self.steps}"
        start = self.run_dir / f"sft/{last}/huggingface" if self.arm.sft else BASE_MODEL
        return [
            *(sys.executable, "-m", "cleartrace_verl.main", "--recipe", "recipe/contextrl", "experiment=figure5"),
            f"trainer.experiment_name={self.name}",
            f"cleartrace.run_dir={self.run_dir}",
            f"cleartrace.seed={self.seed}",
            f"actor_rollout_ref.model.path={start}",
            *(f"trainer.{key}={self.steps}" for key in ("total_training_steps", "save_freq")),
            f"trainer.test_freq={self.steps // 2}",
            *self.arm.overrides,
        ]

    def _probe(self) -> list[str]:
        trained = self.run_dir / f"checkpoints/global_step_{self.steps}/actor/huggingface"
        model = trained if self.arm.trains else BASE_MODEL
        return [
            *(sys.executable, "-m", "cleartrace.cli", "probe"),
            *("--data", f"{DATA}/held_out_pairs.jsonl", "--training", f"{DATA}/pairs.jsonl"),
            *("--model", str(model), "--out", str(self.run_dir / "probe"), "--per-kind", str(PROBE_PAIRS)),
            *("--answer-prefix", "The correct option is", "--dtype", "float32"),
        ]

    def _finished(self) -> bool:
        """Whether the last model is there, and the report, which a run writes when all else is done."""
        mark = self.run_dir / "checkpoints/latest_checkpointed_iteration.txt"
        return (self.run_dir / "report.html").exists() and mark.exists() and int(mark.read_text()) >= self.steps

    def export(self) -> None:
        """Write the row, and drop the weights, which are as large as the model."""
        summary = json.loads((self.run_dir / "probe/summary.json").read_text())
        row = {
            **{"method": self.arm.method, "model": MODEL_NAME, "seed": self.seed},
            **_selection(summary),
            **self._task_score(),
        }
        with whole_file(self.csv) as draft, draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerow(row)
        shutil.rmtree(self.run_dir / "checkpoints", ignore_errors=True)
        shutil.rmtree(self.run_dir / "sft", ignore_errors=True)

    def _task_score(self) -> dict[str, Any]:
        """Share of held-out tasks solved before and after, in percent."""
        solved, seconds = {}, []
        for line in (self.run_dir / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            seconds.append(record["time"])
            if "cleartrace/val/acc" in record["data"]:
                solved[record["step"]] = round(100 * record["data"]["cleartrace/val/acc"], 2)
        minutes = round((seconds[-1] - seconds[0]) / 60, 2)
        return {"y": solved[max(solved)], "y_before": solved[min(solved)], "minutes": minutes}


def _selection(summary: dict[str, Any]) -> dict[str, Any]:
    """Columns from the probe's summary, shares in percent."""
    overall, controls = summary["overall"], {control["name"]: control for control in summary["controls"]}

    def percent(share: dict[str, Any] | None, key: str = "value") -> float | None:
        return None if share is None else round(100 * share[key], 2)

    return {
        "x": percent(overall["averaged"]),
        "x_low": percent(overall["averaged"], "low"),
        "x_high": percent(overall["averaged"], "high"),
        "debiased": percent(overall["debiased"]),
        "order_consistency": percent(overall["consistency"]),
        "position_bias": round(overall["bias"], 3),
        "margin": round(overall["margin"], 3),
        "blind": percent(controls["blind"]["accuracy"]),
        "swapped": percent(controls["swapped"]["accuracy"]),
    }
