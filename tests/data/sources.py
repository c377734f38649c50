"""One row of each published source, as its file has it (specification, section 11.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

AIME_2024 = {"data_source": "AIME2024", "Problem": "Find the least n with $n! > 10^6$.", "Answer": 10, "ID": "2024-I-1"}
AIME_2025 = {"data_source": "AIME2025", "problem": "How many primes are below $20$?", "answer": "8"}
GPQA = {
    "data_source": "gpqa_diamond",
    "problem": "Which gas is lightest?\n(A) H2\n(B) He\n(C) N2\n(D) O2",
    "solution": "A",
    "domain": "Chemistry",
}
LCB = {
    "data_source": "LiveCodeBench_v6",
    "problem": "Read two integers and print their sum.",
    "ability": "code",
    "reward_model": json.dumps(
        {"ground_truth": {"inputs": ["1 2\n", "x" * 600, "5 6\n"], "outputs": ["3\n", "0\n", "11\n"]}, "style": "rule"}
    ),
    "extra_info": json.dumps({"difficulty": "easy"}),
    "question_id": "abc301_a",
}
LCB_CALL = {
    **LCB,
    "problem": "Add two integers.",
    "reward_model": json.dumps({"ground_truth": {"inputs": ["1\n2"], "outputs": ["3"], "fn_name": "add"}}),
    "question_id": "3701",
}


def chat(source: str, content: str, truth: Any, **more: Any) -> dict[str, Any]:
    return {
        "data_source": source,
        "prompt": [{"role": "user", "content": content}],
        "ability": "math",
        "reward_model": {"ground_truth": truth, "style": "rule"},
        **more,
    }


MATH = chat("math_dapo", "Solve $x + 1 = 3$. Put the answer in a box.", "2", extra_info={"index": "q-7"})
SCIENCE = chat("mega-science", "What is the SI unit of force?", "newton")
TESTS = {"inputs": ["2\n"], "outputs": ["4\n"]}
TACO = chat("train-code-taco-easy", "Read n and print its double.", json.dumps(TESTS))
SKYWORK = chat("skywork-math", "What is $6 \\cdot 7$?", '["42"]')


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
