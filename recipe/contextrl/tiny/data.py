"""Rendered scenes as the files of a multimodal run: questions for GRPO, pairs for the context loss, some held out.

python -m recipe.contextrl.tiny.data runs/tiny-images --scenes 60
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa

from cleartrace.data.files import write_rows
from cleartrace.pairs.files import read_pairs, write_pairs
from cleartrace.pairs.make.scenes.collection import SOURCE, make_collection, make_scene_pairs
from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.mine.images.question import ImageQuestion, read_questions

HELD_OUT = 4
"""One scene in so many is held out."""
SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("agent_name", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("images", pa.list_(pa.string())),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("extra_info", pa.struct([("sample_id", pa.string()), ("question", pa.string()), ("index", pa.int64())])),
    ]
)


def task_row(question: ImageQuestion, index: int) -> dict:
    """A question as a row for `image_agent`: the picture, the question, and where the answer goes."""
    content = f"<image>\n{question.question}\nPut the answer in \\boxed{{}}."
    return {
        "data_source": f"math-{SOURCE}",
        "agent_name": "image_agent",
        "prompt": [{"role": "user", "content": content}],
        "images": [question.image],
        "ability": "other",
        "reward_model": {"style": "rule", "ground_truth": question.answer},
        "extra_info": {"sample_id": question.id, "question": question.question, "index": index},
    }


def write_files(out: Path, scenes: int, seed: int = 0) -> None:
    """Write tasks.parquet, val_tasks.parquet, pairs.jsonl and val_pairs.jsonl to the folder `out`."""
    make_collection(out / "tasks.jsonl", scenes, seed, list(Domain))
    rows = [task_row(question, i) for i, question in enumerate(read_questions(out / "tasks.jsonl"))]
    write_rows(out / "val_tasks.parquet", rows[::HELD_OUT], SCHEMA)
    write_rows(out / "tasks.parquet", (row for i, row in enumerate(rows) if i % HELD_OUT), SCHEMA)
    make_scene_pairs(out / "all_pairs.jsonl", scenes, seed + 1, list(Domain))
    pairs = read_pairs(out / "all_pairs.jsonl")
    groups = sorted({pair.group for pair in pairs})[::HELD_OUT]
    write_pairs(out / "val_pairs.jsonl", (pair for pair in pairs if pair.group in groups))
    write_pairs(out / "pairs.jsonl", (pair for pair in pairs if pair.group not in groups))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_files(args.out, args.scenes, args.seed)
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
