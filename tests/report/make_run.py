"""Synthetic runs as test input: the shape of real rollouts, from a seeded generator."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import yaml

from cleartrace.trajectory.record import (
    AttemptRecord,
    RepairRecord,
    SegmentRecord,
    ToolCallRecord,
    TrajectoryRecord,
)

PIECE = re.compile(r" ?\w{1,6}| ?[^\w\s]|\s")
FAILED = (
    (
        "NameError",
        "total = sum(range(a, b + 1))\nprint(totl)",
        "NameError at line 2: name 'totl' is not defined\nprint(totl)",
    ),
    ("SyntaxError", "for i in range(10)\n    print(i)", "SyntaxError at line 1: expected ':'\nfor i in range(10)"),
    ("TypeError", "n = input\nprint(n + 1)", "TypeError at line 2: unsupported operand type(s) for +\nprint(n + 1)"),
    ("timeout", "while True:\n    pass", "the program used up its 5 s limit"),
)


def make_record(
    rng: random.Random, *, step: int = 1, split: str = "train", number: int = 0, **changes: object
) -> TrajectoryRecord:
    """One rollout of a sum problem: some with a failed call, of those some repaired. `changes` override fields."""
    a, b = rng.randint(2, 60), rng.randint(70, 400)
    answer = sum(range(a, b + 1))
    error_class, bad_code, error_text = rng.choice(FAILED)
    good_code = f"a, b = {a}, {b}\ntotal = sum(range(a, b + 1))\nprint(total)"
    failed = rng.random() < max(0.15, 0.45 - 0.006 * step)
    repaired = failed and split == "train" and rng.random() < 0.7
    solved = rng.random() < min(0.9, 0.35 + 0.01 * step)
    origin = rng.choice(["grafted", "replaced"]) if repaired else "original"
    code = good_code if repaired or not failed else bad_code
    output = f"Tool call success\nstdout: {answer}" if code == good_code else f"Tool call failure\nstderr: {error_text}"
    thought = f"I need the sum of the whole numbers from {a} to {b}. A short program is safer than mental arithmetic.\n"
    prediction = str(answer if solved else answer + rng.randint(1, 9))
    question = f"What is the sum of all whole numbers from {a} to {b}, both included? Put the answer in a box."
    attempt = int(repaired)
    request = {"name": "code_interpreter", "arguments": {"code": code}}
    segments = [
        _segment(
            rng,
            "prompt",
            "<|im_start|>system\nYou can run Python with the code tool.<|im_end|>\n"
            f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n",
        ),
        _segment(
            rng,
            "assistant_reasoning",
            thought,
            origin="replaced" if origin == "replaced" else "original",
            position=1,
            attempt=attempt if origin == "replaced" else 0,
        ),
        _segment(
            rng,
            "assistant_call",
            f"<tool_call>\n{json.dumps(request)}\n</tool_call><|im_end|>",
            origin=origin,
            position=1,
            attempt=attempt,
        ),
        _segment(rng, "tool", f"\n<|im_start|>tool\n{output}<|im_end|>"),
        _segment(rng, "boundary", "\n<|im_start|>assistant\n"),
        _segment(
            rng,
            "assistant_reasoning",
            "The program adds every number in the range once, so the result can be used as it stands. "
            f"The sum of the numbers from {a} to {b} is \\boxed{{{prediction}}}.<|im_end|>",
            position=2,
        ),
    ]
    status = "ok" if code == good_code else ("timeout" if error_class == "timeout" else "program_error")
    calls = [
        ToolCallRecord(
            position=1,
            attempt=attempt,
            code=code,
            status=status,
            error_class=None if status == "ok" else error_class,
            text=output,
            cost_s=rng.uniform(0.02, 0.2),
        )
    ]
    repairs = []
    if repaired:
        calls.insert(
            0,
            ToolCallRecord(
                position=1,
                attempt=0,
                code=bad_code,
                status="timeout" if error_class == "timeout" else "program_error",
                error_class=error_class,
                text=f"Tool call failure\nstderr: {error_text}",
                cost_s=rng.uniform(0.02, 0.2),
                kept=False,
            ),
        )
        removed = AttemptRecord(
            text=f"{thought}<tool_call>\n{bad_code}\n</tool_call>",
            code=bad_code,
            error_class=error_class,
            error_text=error_text,
        )
        repairs = [
            RepairRecord(
                position=1,
                outcome="recovered",
                splice="graft" if origin == "grafted" else "replace",
                similarity=rng.uniform(0.2, 0.95),
                attempts=[removed],
                replacement=f"{thought}<tool_call>\n{good_code}\n</tool_call>",
            )
        ]
    sampled = sum(len(s.token_ids) for s in segments if s.loss)
    values: dict[str, object] = dict(
        run="synthetic", step=step, split=split, arm="on" if split == "train" else "off",
        sample_id=f"{split}-{number // 4:05d}",
        rollout=number % 4, data_source="sums", question=question, ground_truth=str(answer), prediction=prediction,
        reward=1.0 if solved else -1.0, acc=solved, num_turns=2, segments=segments, tool_calls=calls, repairs=repairs,
        generated_tokens=sampled + 40 * repaired, discarded_tokens=40 * repaired,
        counters={"rollback/triggered": float(repaired)},
    )  # fmt: skip
    return TrajectoryRecord.model_validate(values | changes)


def _segment(rng: random.Random, kind: str, text: str, **values: object) -> SegmentRecord:
    pieces = PIECE.findall(text)
    loss = kind.startswith("assistant")
    fields: dict[str, object] = {
        "kind": kind,
        "pieces": pieces,
        "token_ids": [sum(p.encode()) * 7919 % 49152 for p in pieces],
        "loss": loss,
        "logprobs": [-rng.expovariate(4.0) for _ in pieces] if loss else None,
    }
    return SegmentRecord.model_validate(fields | values)


def make_metrics(rng: random.Random, steps: int, val_every: int = 5) -> list[dict[str, object]]:
    """Rows of metrics.jsonl with every name the report knows."""
    rows, tokens = [], 0.0
    for step in range(steps + 1):
        data: dict[str, float] = {}
        if step:
            share = step / max(steps, 1)
            triggered = float(rng.randint(20, 34)) * (1.2 - share)
            tokens += rng.uniform(15_000, 18_000)
            data = {
                "critic/score/mean": 0.4 + 0.4 * share + rng.gauss(0, 0.05),
                "critic/rewards/mean": -0.2 + 0.8 * share + rng.gauss(0, 0.08),
                "timing_s/step": rng.uniform(2.1, 3.4) + (6 if step == 1 else 0),
                "tool_calls/failures_per_trajectory": max(0.05, 0.6 - 0.4 * share + rng.gauss(0, 0.04)),
                "tool_calls/success_rate": min(1.0, 0.5 + 0.4 * share + rng.gauss(0, 0.03)),
                "rollback/global_triggered": round(triggered),
                "rollback/global_recovered": round(triggered * rng.uniform(0.5, 0.8)),
                "rollback/generated_tokens": rng.uniform(15_000, 18_000),
                "cleartrace/train/acc": min(1.0, max(0.0, 0.35 + 0.4 * share + rng.gauss(0, 0.05))),
                "cleartrace/generated_tokens_cum": tokens,
            }
        if step % val_every == 0:
            data["cleartrace/val/acc"] = 0.36 + 0.35 * step / max(steps, 1)
            data["cleartrace/val_on/acc"] = 0.44 + 0.33 * step / max(steps, 1)
            data["cleartrace/val/first_call_failure_rate"] = 0.42 - 0.25 * step / max(steps, 1)
        rows.append({"step": step, "data": data})
    return rows


def make_run(folder: Path, *, trajectories: int = 400, steps: int = 40, seed: int = 0) -> Path:
    """Write a whole run folder; a fifth of the trajectories are held-out, at the first and the last step."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "cleartrace": {"seed": 0},
        "actor_rollout_ref": {
            "model": {"path": "models/tiny-policy"},
            "actor": {"optim": {"lr": 1e-5}},
            "rollout": {
                "n": 8,
                "temperature": 1.0,
                "custom": {
                    "saar": {
                        "enable": True,
                        "policy": "similarity",
                        "max_retries": 3,
                        "similarity_threshold": 0.5,
                        "probability": 1.0,
                    }
                },
            },
        },
        "data": {"train_batch_size": 16, "max_response_length": 1024},
        "algorithm": {"adv_estimator": "grpo"},
        "trainer": {"total_training_steps": steps},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in make_metrics(rng, steps))
    held_out = trajectories // 5
    with (folder / "trajectories.jsonl").open("w", encoding="utf-8") as file:
        for number in range(trajectories):
            if number < held_out:
                step, split = (0 if number % 2 == 0 else steps), "val"
            else:
                step, split = 1 + (number - held_out) * steps // (trajectories - held_out), "train"
            file.write(make_record(rng, step=step, split=split, number=number).model_dump_json() + "\n")
    return folder
