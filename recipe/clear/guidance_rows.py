"""First half of the miniature, without a model of weights: runs, reflections, rows, files to train on."""

from __future__ import annotations

from cleartrace.data.files import read_json_lines, write_json, write_json_lines
from cleartrace.environments.ruleworld import RuleWorld
from cleartrace.learn.clear.collect import CollectPlan, collect
from cleartrace.learn.clear.export import write_prompts
from cleartrace.learn.clear.exporting import ExportPlan, Target, export
from cleartrace.learn.clear.reflect import reflect
from cleartrace.learn.clear.reflect_settings import ReflectSettings
from cleartrace.learn.clear.splitting import make_split, read_split
from recipe.clear.reader import reader
from recipe.clear.settings import COLLECTED, NO_CONTRAST, SETS, Seed

DONE = "files.json"


async def collect_and_reflect(seed: Seed) -> None:
    """6 runs of each task of some train customers; reflections over sets of 3 of them, and over each alone.

    What is there is kept.
    """
    await collect(seed.agent, CollectPlan(runs=6, limit=COLLECTED, seed=seed.number), seed.project())
    for name, k in (("", 3), (NO_CONTRAST, 1)):
        wanted = {"model": "recipe/clear-reader", "k": k, "n": 6, "limit": SETS, "seed": seed.number}
        settings = ReflectSettings.checked(wanted)
        await reflect(settings, seed.project(name), llm=reader())


def write_files(seed: Seed) -> dict[str, int]:
    """Split both sets of rows under one seed, export what the trainings and retrieval read; rows by file."""
    counts: dict[str, int] = {}
    for name in ("", NO_CONTRAST):
        project = seed.project(name)
        make_split(project, share=0.15, seed=seed.number, near=1.1)
        made = export(ExportPlan(Target.VERL), project)
        counts |= {f"{name or 'contrast'}/{file}": n for file, n in made.files.items()}
    counts |= _write_prompts(seed)
    counts["rag.jsonl"] = _write_retrieval(seed)
    write_json(seed.folder / DONE, counts)
    return counts


def _write_prompts(seed: Seed) -> dict[str, int]:
    """All train tasks for GRPO, but those of the customers that the rows hold out."""
    held = set(read_split(seed.project()).groups)
    tasks = RuleWorld(**seed.world).tasks("train")
    sides = {
        "train": [task for task in tasks if task.group not in held],
        "held_out": [task for task in tasks if task.group in held],
    }
    return {f"prompts/{name}.parquet": write_prompts(seed.prompts(name), found) for name, found in sides.items()}


def _write_retrieval(seed: Seed) -> int:
    """The rows of contrast as retrieval reads them; rows that abstain hold nothing to say."""
    rows = (row for _, row in read_json_lines(seed.project().train_file) if row["guidance"])
    said = ({"id": f"g{n}", "key": row["task"], "text": row["guidance"]} for n, row in enumerate(rows, 1))
    return write_json_lines(seed.folder / "rag.jsonl", said)
