"""What an exported data set holds, as `card.json` and `README.md` beside it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cleartrace.data.files import whole_file
from cleartrace.episodes.types import Record, Task
from cleartrace.learn.clear.export import messages, prompt
from cleartrace.learn.clear.project import Collected, Reflected, write_record
from cleartrace.learn.clear.rows import GuidanceRow
from cleartrace.learn.clear.splitting import Sides, SplitMade
from cleartrace.llm.tokens import TokenCounter


class Lengths(Record):
    """Of texts in tokens."""

    mean: float
    median: float
    p95: int
    longest: int

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Lengths | None:
        if not sizes:
            return None
        ordered = sorted(sizes)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        mean, median = round(statistics.fmean(sizes), 1), statistics.median(sizes)
        return cls(mean=mean, median=median, p95=p95, longest=ordered[-1])


class Side(Record):
    """One side of the split.

    Args:
        scenarios, tasks: of the rows. `tasks_without_rows`: of these scenarios, for prompts alone.
        abstained: share of rows whose guidance is empty.
        repeated: rows whose guidance an earlier row of another task has, word for word.
        prompt, guidance: lengths; the whole example is their sum and the template's marks.
    """

    rows: int
    scenarios: int
    tasks: int
    tasks_without_rows: int
    abstained: float | None
    repeated: int
    prompt: Lengths | None
    guidance: Lengths | None


class Card(Record):
    """Where a data set comes from, and what is in it."""

    schema_version: int = 1
    format: str
    counter: str
    collected: Collected
    reflected: Reflected
    split: SplitMade
    train: Side
    held_out: Side


def side_of(rows: Sequence[GuidanceRow], tasks: Sequence[Task], count: TokenCounter) -> Side:
    """Counts of one side. Without rows, prompts are those of the tasks."""
    own = {row.task_id for row in rows}
    texts = Counter(" ".join(row.guidance.lower().split()) for row in rows if row.guidance)
    asked = [messages(row)[:-1] for row in rows] or [prompt(task) for task in tasks]
    return Side(
        rows=len(rows),
        scenarios=len({row.group for row in rows}),
        tasks=len(own),
        tasks_without_rows=sum(task.id not in own for task in tasks),
        abstained=round(sum(not row.guidance for row in rows) / len(rows), 4) if rows else None,
        repeated=sum(texts.values()) - len(texts),
        prompt=Lengths.of([sum(count(message["content"]) for message in one) for one in asked]),
        guidance=Lengths.of([count(messages(row)[-1]["content"]) for row in rows]),
    )


def write_card(folder: Path, card: Card, files: dict[str, int]) -> None:
    """`files`: name -> rows in it."""
    write_record(folder / "card.json", card)
    with whole_file(folder / "README.md") as partial:
        partial.write_text(_text(card, files), encoding="utf-8")


def make_card(
    format: str, counter: str, count: TokenCounter, sides: Sides, made: tuple[Collected, Reflected, SplitMade]
) -> Card:
    collected, reflected, split = made
    return Card(
        format=format, counter=counter, collected=collected, reflected=reflected, split=split,
        train=side_of(sides.train, sides.train_tasks, count),
        held_out=side_of(sides.held_out, sides.held_out_tasks, count),
    )  # fmt: skip


def _text(card: Card, files: dict[str, int]) -> str:
    made, reflected, split = card.collected, card.reflected, card.split
    listed = "\n".join(f"- `{name}`: {rows} rows" for name, rows in files.items())
    agent = made.agent_settings.get("model") or made.agent
    return f"""# Guidance for {made.environment}, as {card.format}

{listed}

Runs: up to {made.runs} of each task by {agent}, context {made.context}.
Guidance: by {reflected.settings.get("model", reflected.writer)}, from sets of {reflected.k} runs ({reflected.keep}).
Split: by scenario, {split.share:.0%} of the rows held out under seed {split.seed}; no scenario is on both sides;
{len(split.moved)} rows left out because their task nearly repeats a held-out one.

| | train | held out |
|---|---:|---:|
{_rows(card.train, card.held_out)}

Lengths are tokens by the counter `{card.counter}`, as mean / median / 95th percentile / longest.
"""


def _rows(train: Side, held: Side) -> str:
    def cell(value: Any) -> str:
        if isinstance(value, Lengths):
            return f"{value.mean:g} / {value.median:g} / {value.p95} / {value.longest}"
        return "-" if value is None else f"{value}"

    names = {
        "rows": "rows", "scenarios": "scenarios",
        "tasks": "tasks with rows", "tasks_without_rows": "tasks without rows",
        "abstained": "abstained, share of rows", "repeated": "guidance of another task repeated",
        "prompt": "prompt", "guidance": "guidance",
    }  # fmt: skip
    return "\n".join(
        f"| {said} | {cell(getattr(train, name))} | {cell(getattr(held, name))} |" for name, said in names.items()
    )
