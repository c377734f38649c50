"""Tasks and pairs of the miniature figure 5: the same sentences, asked in two ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cleartrace.data.files import write_rows
from cleartrace.data.prepared import PreparedRow, schema
from cleartrace.data.rows import sample_id_of
from cleartrace.pairs.export import export_rl, export_sft
from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.make.rule_families import RuleFamily
from cleartrace.pairs.make.rules import make_rules
from cleartrace.pairs.order import OrderPolicy
from cleartrace.pairs.record import Pair

PREFILL = "The correct option is "
PAIRS, HELD_OUT_PAIRS = 400, 100
"""Groups, of two pairs each."""
TASKS, HELD_OUT_TASKS = 400, 150
"""DA-RL mixes half as many rows of pairs with them: two in six prompts."""
TASK_FAMILIES = (RuleFamily.FACT, RuleFamily.EVENTS, RuleFamily.LOOKUP)
SOURCE = "rules/short_answer"
AGENT = "saar_agent"
EXAMPLE = ("The lamp is in the cellar.", "Where is the lamp?", "cellar")


def write(folder: Path) -> None:
    """Write all files of the study into `folder`, where they are not there yet. The same in every run."""
    if (folder / "da_rl.parquet").exists():
        return
    pairs = make_rules(PAIRS + HELD_OUT_PAIRS, seed=0, families=[RuleFamily.FACT], level=1)
    train, held_out = pairs[: 2 * PAIRS], pairs[2 * PAIRS :]
    write_pairs(folder / "pairs.jsonl", train)
    write_pairs(folder / "held_out_pairs.jsonl", held_out)
    # The forward pair of each group: its supporting context and its answer are a task.
    drawn = make_rules(TASKS + HELD_OUT_TASKS, seed=1, families=TASK_FAMILIES, level=1)[::2]
    rows = [task_row(pair, i) for i, pair in enumerate(drawn)]
    write_rows(folder / "tasks.parquet", rows[:TASKS], schema())
    write_rows(folder / "held_out_tasks.parquet", rows[TASKS:], schema())
    export_sft(train, folder / "da_sft.parquet", policy=OrderPolicy.BOTH, prefill=PREFILL)
    export_sft(held_out[:8], folder / "da_sft_held_out.parquet", policy=OrderPolicy.BOTH, prefill=PREFILL)
    export_rl(train[: TASKS // 4], folder / "da_rl.parquet", policy=OrderPolicy.BOTH)


def task_row(pair: Pair, index: int) -> dict[str, Any]:
    """A question on one context, answered in a word; one example shows the form."""
    context, question, answer = EXAMPLE
    messages = [
        {"role": "user", "content": _asked(context, question)},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": _asked(str(pair.pos), pair.question)},
    ]
    sample_id = sample_id_of(SOURCE, messages[-1]["content"], pair.answer)
    row = PreparedRow(SOURCE, messages, pair.answer, sample_id, pair.question)
    return row.for_verl(AGENT, profile="figure5", index=index)


def _asked(context: str, question: str) -> str:
    return f"{context} {question} Answer with one word."
