"""One training run per arm and seed, and the small CSV it leaves. What has its CSV is not run again."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from cleartrace.data.files import whole_file
from cleartrace.report.compare import COLUMNS
from recipe.cleaner.study.arms import Arm, Group

RESULTS = Path("docs/results/study")
RUNS = Path("runs/study")
# metric in metrics.jsonl -> (split, name) in the CSV
EXPORTED = {
    "cleartrace/val/acc": ("held_out", "acc"),
    "cleartrace/val_on/acc": ("held_out_with_rollback", "acc"),
    "cleartrace/val/first_call_failure_rate": ("held_out", "first_call_failure_rate"),
    "cleartrace/val/failures_per_trajectory": ("held_out", "failures_per_trajectory"),
    "cleartrace/val/tokens_per_trajectory": ("held_out", "tokens_per_trajectory"),
    "cleartrace/val_on/tokens_per_trajectory": ("held_out_with_rollback", "tokens_per_trajectory"),
    "cleartrace/train/acc": ("train", "acc"),
    "tool_calls/failures_per_trajectory": ("train", "failures_per_trajectory"),
    "tool_calls/kept_failures_per_trajectory": ("train", "kept_failures_per_trajectory"),
    "rollback/discard_ratio": ("train", "discard_ratio"),
    "rollback/spliced_token_frac": ("train", "spliced_token_frac"),
    "rollback/gap_mean": ("train", "gap_mean"),
    "rollback/gap_abs_mean": ("train", "gap_abs_mean"),
    "rollback/is_weight_mean": ("train", "is_weight_mean"),
    "rollback/planb_append_rate": ("train", "append_rate"),
    "timing/rollback_share": ("train", "rollback_time_share"),
    "timing_s/step": ("train", "step_seconds"),
}


@dataclass(frozen=True)
class Job:
    """`tokens`: generated tokens after which the run ends, discarded ones included."""

    arm: Arm
    seed: int
    tokens: int

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
        """The training run: the quickstart with another arm, seed and end.

        Only the main arms have a learning curve on held-out tasks; an evaluation costs as much as two steps.
        """
        command = [
            sys.executable,
            *("-m", "cleartrace_verl.main", "--recipe", "recipe/cleaner", "experiment=quickstart"),
            f"trainer.experiment_name={self.name}",
            f"cleartrace.run_dir={self.run_dir}",
            f"cleartrace.seed={self.seed}",
            f"cleartrace.token_budget={self.tokens}",
            "cleartrace.tasks.held_out_with_rollback=true",
            "trainer.total_training_steps=1000",
            f"trainer.test_freq={6 if self.arm.group is Group.MAIN else 12}",
            f"trainer.val_before_train={str(self.arm.group is Group.MAIN).lower()}",
            *self.arm.overrides(),
        ]
        return [command]

    def export(self) -> None:
        """Write the CSV from the run's metrics, whole or not at all."""
        rows = []
        for line in (self.run_dir / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            data = record["data"]
            for metric, (split, name) in EXPORTED.items():
                if metric in data:
                    tokens = data["cleartrace/generated_tokens_cum"]
                    row = [
                        self.name,
                        self.arm.name,
                        self.seed,
                        record["step"],
                        tokens,
                        split,
                        name,
                        round(data[metric], 6),
                    ]
                    rows.append(row)
        with whole_file(self.csv) as draft, draft.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
