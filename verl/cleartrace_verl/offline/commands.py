"""`cleartrace eval` and `cleartrace passrate`: a task file and a policy in, files and a table out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cleartrace.data.files import write_json_lines
from cleartrace.evaluate.outcome import Arm, RolloutOutcome
from cleartrace.evaluate.page import summary_table, write_summary
from cleartrace.evaluate.passrate import by_sample, statistics_line
from cleartrace.evaluate.questions import Question, read_questions
from cleartrace.evaluate.settings import EvalSettings, PassrateSettings, RunSettings
from cleartrace.evaluate.store import RolloutStore
from cleartrace.evaluate.summary import Summary, summarise
from cleartrace_verl.offline.config import identity, loop_config, sampling_options
from cleartrace_verl.offline.judge import judge
from cleartrace_verl.offline.loop import Roller
from cleartrace_verl.offline.policies import make_policy
from cleartrace_verl.offline.policy import Policy
from cleartrace_verl.offline.session import RETRIED, jobs_of, left_to_do, run_jobs

STATISTICS = "statistics.jsonl"


def run_eval(settings: EvalSettings, console: Console) -> Summary:
    """Evaluate, write summary.json, summary.csv and summary.html, and print the table."""
    questions = read_questions(settings.data, settings.limit)
    arms = settings.arms
    outcomes = asyncio.run(_run(settings, questions, arms, console, keep_records=settings.trajectories))
    asked = Counter(question.data_source for question in questions)
    summary = summarise(outcomes, asked, settings.n)
    page = write_summary(summary, settings.out)
    console.print(summary_table(summary))
    _say_spoiled(outcomes, console)
    console.print(f"Summary: {page}", highlight=False, soft_wrap=True)
    return summary


def run_passrate(settings: PassrateSettings, console: Console) -> Path:
    """Roll out every row n times without rollback and write `statistics.jsonl`; returns its path."""
    questions = read_questions(settings.data, settings.limit)
    path = settings.out / STATISTICS

    def write(outcomes: Sequence[RolloutOutcome]) -> int:
        groups = by_sample(outcomes)
        full = [q for q in questions if len(groups.get(q.sample_id, ())) >= settings.n]
        lines = [statistics_line(q, groups[q.sample_id]) for q in full]
        return write_json_lines(path, [line for line in lines if line is not None])

    outcomes = asyncio.run(_run(settings, questions, ("off",), console, keep_records=False, checkpoint=write))
    written = write(outcomes)
    solved = sum(row.acc and row.graded for row in outcomes)
    rate = f", {solved / len(outcomes):.1%} of the rollouts solved" if outcomes else ""
    console.print(f"{written} of {len(questions)} samples have statistics{rate}.", highlight=False)
    _say_spoiled(outcomes, console)
    console.print(f"Statistics: {path}", highlight=False, soft_wrap=True)
    return path


@dataclass(frozen=True)
class _Checkpoint:
    """Writes a derived file now and then, so that a stopped run leaves it behind."""

    write: Callable[[Sequence[RolloutOutcome]], object]
    store: RolloutStore
    every: int

    def __call__(self, finished: int) -> None:
        if finished % self.every == 0:
            self.write(list(self.store.done.values()))


async def _run(
    settings: RunSettings,
    questions: Sequence[Question],
    arms: Sequence[Arm],
    console: Console,
    *,
    keep_records: bool,
    checkpoint: Callable[[Sequence[RolloutOutcome]], object] | None = None,
) -> list[RolloutOutcome]:
    """Make the rollouts that are left, and return the outcomes of all that were asked for."""
    config = loop_config(settings)
    jobs = jobs_of(questions, arms, settings.n)
    policy = make_policy(settings, config)
    try:
        known_as = await policy.identify()
        with RolloutStore(settings.out, identity(config, settings, known_as)) as store:
            todo = left_to_do(jobs, store.done, retry_lost=settings.retry_lost)
            console.print(_begin(questions, jobs, todo, settings), highlight=False, soft_wrap=True)
            if todo:
                await policy.open()
                save = _Checkpoint(checkpoint, store, every=500) if checkpoint else None
                with judge(settings.judge, settings.out / "judge"), _bar(console) as bar:
                    await _work(settings, config, policy, todo, store, bar, keep_records, save)
            return [store.done[job.key] for job in jobs if job.key in store.done]
    finally:
        await policy.close()


async def _work(
    settings: RunSettings,
    config: DictConfig,
    policy: Policy,
    todo: Sequence,
    store: RolloutStore,
    bar: Progress,
    keep_records: bool,
    save: _Checkpoint | None,
) -> None:
    roller = Roller(
        config,
        settings.policy.tokenizer_dir,
        policy,
        sampling_options(config, settings),
        seed=settings.seed,
        run=settings.out.name,
        keep_answers=isinstance(settings, EvalSettings),
    )
    task = bar.add_task("rollouts", total=len(todo), note="")
    solved = finished = 0

    def on_done(outcome: RolloutOutcome) -> None:
        nonlocal solved, finished
        finished += 1
        solved += outcome.acc and outcome.graded
        bar.update(task, advance=1, note=f"{solved / finished:.0%} solved")
        if save is not None:
            save(finished)

    await run_jobs(
        roller,
        todo,
        store,
        concurrency=settings.concurrency,
        infra_retries=settings.infra_retries,
        keep_records=keep_records,
        on_done=on_done,
    )


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def _begin(questions: Sequence[Question], jobs: Sequence, todo: Sequence, settings: RunSettings) -> str:
    repeats = sum(len(question.repeats) for question in questions)
    folded = f" ({repeats} further rows repeat one of them and are not rolled out again)" if repeats else ""
    done = f", {len(jobs) - len(todo)} of them are done" if len(todo) < len(jobs) else ""
    return f"{len(questions)} questions{folded}, {settings.n} rollouts each: {len(jobs)} rollouts{done}."


def _say_spoiled(outcomes: Sequence[RolloutOutcome], console: Console) -> None:
    """Name the reasons of what could not be graded, the most frequent first."""
    spoiled = [row for row in outcomes if row.status in RETRIED]
    if not spoiled:
        return
    console.print(
        f"[yellow]{len(spoiled)} rollouts were spoiled by something that is not the model's[/yellow] and count as not "
        "solved; the same command with --retry-lost makes them again:",
        soft_wrap=True,
    )
    reasons = Counter(f"{row.status.value}: {row.error[:160] or 'a tool call failed in the judge'}" for row in spoiled)
    for reason, count in reasons.most_common(5):
        console.print(f"  {count} x {reason}", highlight=False, markup=False, soft_wrap=True)
