"""First half of the miniature, without a model of weights: runs, reflections, rows, files to train on."""

from __future__ import annotations

from cleartrace.data.files import read_json_lines, write_json_lines
from cleartrace.evaluate.store import write_json
from cleartrace.learn.clear.collect import CollectPlan, collect
from cleartrace.learn.clear.exporting import ExportPlan, Target, export
from cleartrace.learn.clear.reflect import reflect
from cleartrace.learn.clear.reflect_settings import ReflectSettings
from cleartrace.learn.clear.splitting import make_split
from recipe.clear.reader import reader
from recipe.clear.settings import NO_CONTRAST, SETS, Seed

DONE = "files.json"


async def collect_and_reflect(seed: Seed) -> None:
    """6 runs of each train task; reflections over sets of 3 of them, and over each alone. What is there is kept."""
    await collect(seed.agent, CollectPlan(runs=6, seed=seed.number), seed.project())
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
        for target in (Target.VERL, Target.PROMPTS):
            made = export(ExportPlan(target), project)
            counts |= {f"{name or 'contrast'}/{target.value}/{file}": n for file, n in made.files.items()}
    counts["rag.jsonl"] = _write_retrieval(seed)
    write_json(seed.folder / DONE, counts)
    return counts


def _write_retrieval(seed: Seed) -> int:
    """The rows of contrast as retrieval reads them; rows that abstain hold nothing to say."""
    rows = (row for _, row in read_json_lines(seed.project().train_file) if row["guidance"])
    said = ({"id": f"g{n}", "key": row["task"], "text": row["guidance"]} for n, row in enumerate(rows, 1))
    return write_json_lines(seed.folder / "rag.jsonl", said)
