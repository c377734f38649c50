"""`cleartrace clear export`: both sides of the split in one format, with a card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cleartrace.learn.clear.card import Card, make_card, write_card
from cleartrace.learn.clear.export import (
    DATASET,
    DEEPSPEED,
    HELD_OUT,
    write_chat,
    write_llamafactory,
    write_prompts,
    write_sft,
)
from cleartrace.learn.clear.names import Target
from cleartrace.learn.clear.project import Project, ProjectError
from cleartrace.learn.clear.splitting import Sides, read_sides, read_split, shared
from cleartrace.llm.tokens import token_counter


@dataclass(frozen=True)
class ExportPlan:
    """`model`, `template`, `output`: of LLaMA-Factory's YAML. `counter`: see `token_counter`."""

    target: Target
    model: str = "Qwen/Qwen3-32B"
    template: str = "qwen3"
    output: str = "saves/clear-cam/full/sft"
    counter: str = "estimate"


@dataclass(frozen=True)
class Exported:
    """`files`: name -> rows."""

    folder: Path
    files: dict[str, int]
    card: Card


def export(plan: ExportPlan, project: Project, out: Path | None = None) -> Exported:
    """Raises `ProjectError` where a stage is missing, or the split has become untrue."""
    made = (project.collected(), project.reflected(), read_split(project))
    sides = read_sides(project)
    if both := shared(sides):
        raise ProjectError(f"on both sides: {', '.join(sorted(both)[:5])}; run {project.command('split')} again")
    try:
        count = token_counter(plan.counter)
    except (ValueError, OSError, ImportError) as error:
        raise ProjectError(str(error)) from None
    folder = out or project.export / plan.target.value
    files = _WRITERS[plan.target](plan, sides, folder)
    card = make_card(plan.target.value, plan.counter, count, sides, made)
    write_card(folder, card, files)
    return Exported(folder, files, card)


def _chat(plan: ExportPlan, sides: Sides, folder: Path) -> dict[str, int]:
    return {
        "train.jsonl": write_chat(folder / "train.jsonl", sides.train),
        "held_out.jsonl": write_chat(folder / "held_out.jsonl", sides.held_out),
    }


def _verl(plan: ExportPlan, sides: Sides, folder: Path) -> dict[str, int]:
    return {
        "train.parquet": write_sft(folder / "train.parquet", sides.train),
        "held_out.parquet": write_sft(folder / "held_out.parquet", sides.held_out),
    }


def _prompts(plan: ExportPlan, sides: Sides, folder: Path) -> dict[str, int]:
    return {
        "train.parquet": write_prompts(folder / "train.parquet", sides.train_tasks),
        "held_out.parquet": write_prompts(folder / "held_out.parquet", sides.held_out_tasks),
    }


def _llamafactory(plan: ExportPlan, sides: Sides, folder: Path) -> dict[str, int]:
    write_llamafactory(folder, sides.train, plan.model, plan.template, plan.output, held_out=sides.held_out)
    counts = {f"{DATASET}.json": len(sides.train), f"{HELD_OUT}.json": len(sides.held_out)}
    return {**counts, "dataset_info.json": len(counts), DEEPSPEED: 1, "sft.yaml": 1}


_WRITERS: dict[Target, Callable[[ExportPlan, Sides, Path], dict[str, int]]] = {
    Target.CHAT: _chat,
    Target.VERL: _verl,
    Target.LLAMAFACTORY: _llamafactory,
    Target.PROMPTS: _prompts,
}
