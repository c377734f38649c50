"""A mining run: index all trajectories, choose candidates, fetch their texts, mask, judge, audit, write.

Every phase stores what it did in one working file and skips what is stored, so a killed run goes on where it was and
writes the same files as one that was never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.errors import DataError
from cleartrace.data.files import whole_file, write_json_lines
from cleartrace.pairs.mine.trajectories.build import Outcome, Side, build
from cleartrace.pairs.mine.trajectories.facts import Facts, Left, LeftOut, Sources, facts_of, no_sources
from cleartrace.pairs.mine.trajectories.funnel import funnel
from cleartrace.pairs.mine.trajectories.instance import InstanceId, parse_instance
from cleartrace.pairs.mine.trajectories.issues import api_names, terms
from cleartrace.pairs.mine.trajectories.judge import Judge
from cleartrace.pairs.mine.trajectories.options import MineOptions
from cleartrace.pairs.mine.trajectories.read import Trajectory, rows, rows_at, trajectory
from cleartrace.pairs.mine.trajectories.select import select
from cleartrace.pairs.mine.trajectories.store import Issue, Run, Store
from cleartrace.pairs.mine.trajectories.tasks import issue_of, read_tasks

Progress = Callable[[str, int, int], None]
"""(phase, done, of how many; 0 where the end is not known)."""
COMMIT_ROWS = 200


@dataclass(frozen=True)
class Inputs:
    """Files of trajectories, task tables, and a folder of checkouts `owner__repo.<8 hex>/` where there are any."""

    trajectories: tuple[Path, ...]
    tasks: tuple[Path, ...] = ()
    sources: Path | None = None

    def identity(self) -> list[list[Any]]:
        """Names and sizes: another input must not continue a working file."""
        return [[path.name, path.stat().st_size] for path in (*self.trajectories, *self.tasks)]

    def open_source(self) -> Sources:
        folder = self.sources
        if folder is None:
            return no_sources

        def read(instance: InstanceId, path: str) -> str | None:
            file = folder / f"{instance.owner}__{instance.repo}.{instance.commit}" / path
            return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None

        return read


@dataclass(frozen=True)
class Mined:
    """What a run wrote."""

    pairs: Path
    review: Path
    funnel: dict[str, Any]


def silent(phase: str, done: int, total: int) -> None:
    """Progress for nobody."""


class Miner:
    """One run over `inputs`; `work` is its working file."""

    def __init__(self, inputs: Inputs, options: MineOptions, work: Path, judge: Judge, progress: Progress = silent):
        for path in (*inputs.trajectories, *inputs.tasks):
            if not path.is_file():
                raise DataError(path, "there is no such file")
        self.inputs, self.options, self.judge, self.progress = inputs, options, judge, progress
        settings = {"options": options.model_dump(), "inputs": inputs.identity(), "judge": judge.name}
        self.store = Store(work, settings)

    def run(self, output: Path) -> Mined:
        """All phases. Raises: DataError, JudgeError (run again to go on)."""
        try:
            self.store.load_tasks(read_tasks(self.inputs.tasks))
            self._index()
            selected = self._select()
            self._fetch()
            self._judge()
            return self._write(output, selected)
        finally:
            self.store.close()

    def _index(self) -> None:
        sources = self.inputs.open_source()
        for number, path in enumerate(self.inputs.trajectories):
            start, done = self.store.position(number, path)
            for located in rows(path, start):
                self._index_row(number, located.at, located.row, sources)
                done += 1
                start = located.next
                if done % COMMIT_ROWS == 0:
                    self.store.advance(number, start, done)
                    self.progress(f"reading {path.name}", done, 0)
            self.store.advance(number, start, done)
            self.progress(f"reading {path.name}", done, done)

    def _index_row(self, source: int, at: int, row: dict[str, Any], sources: Sources) -> None:
        try:
            run, facts = self._facts(row, sources)
        except LeftOut as left:
            self.store.count_left_out(left.why.value)
            return
        self.store.add_run(source, at, facts)
        if not self.store.has_issue(run.instance_id):
            task = self.store.task(run.instance_id)
            text = issue_of(run, task)
            self.store.add_issue(run.instance_id, Issue(terms(text), api_names(text), frozenset(task.tests)))

    def _facts(self, row: dict[str, Any], sources: Sources) -> tuple[Trajectory, Facts]:
        try:
            run = trajectory(row)
        except (ValueError, AttributeError, TypeError):
            raise LeftOut(Left.UNREADABLE) from None
        return run, facts_of(run, self.store.task(run.instance_id), sources)

    def _select(self) -> dict[str, int]:
        stored = self.store.setting("selected")
        if stored is None:
            self.progress("choosing", 0, 0)
            chosen = select(self.store, self.options)
            self.store.set_candidates(chosen.pairs)
            counts = {name: chosen.counts[name] for name in ("different_change", "related_issues")}
            stored = json.dumps(counts)
            self.store.set_setting("selected", stored)
        return json.loads(stored)

    def _fetch(self) -> None:
        for number, path in enumerate(self.inputs.trajectories):
            missing = {run.at: run.id for run in self.store.runs_without_content(number)}
            for done, located in enumerate(rows_at(path, list(missing)), 1):
                self.store.add_content(missing[located.at], located.row)
                if done % COMMIT_ROWS == 0:
                    self.store.commit()
                    self.progress(f"fetching from {path.name}", done, len(missing))
            self.store.commit()

    def _side(self, run: Run) -> Side:
        task = self.store.task(run.instance)
        instance = parse_instance(run.instance, task.commit)
        assert instance is not None, f"{run.instance} was indexed, so its name can be read"
        return Side.of(instance, trajectory(self.store.content(run.id)), task, run.scope)

    def _judge(self) -> None:
        total = self.store.candidates()
        still = self.store.open_candidates()
        for done, (id, a, b) in enumerate(still, total - len(still) + 1):
            built = build(self._side(self.store.run(a)), self._side(self.store.run(b)), self.judge, self.options)
            self.store.close_candidate(id, built.outcome.value, built.to_json())
            self.progress("masking and judging", done, total)

    def _write(self, output: Path, selected: dict[str, int]) -> Mined:
        review = output.with_suffix(".review.jsonl")
        with whole_file(output) as partial, partial.open("w", encoding="utf-8") as file:
            for pair in self._pairs():
                file.write(json.dumps(pair, ensure_ascii=False) + "\n")
        write_json_lines(review, self.store.results(Outcome.REVIEW.value))
        return Mined(output, review, funnel(self.store, selected))

    def _pairs(self) -> Iterator[dict[str, Any]]:
        for result in self.store.results(Outcome.PAIRED.value):
            yield from result["pairs"]


def mine(
    trajectories: Sequence[Path],
    output: Path,
    *,
    judge: Judge,
    tasks: Sequence[Path] = (),
    sources: Path | None = None,
    options: MineOptions | None = None,
    work: Path | None = None,
    progress: Progress = silent,
) -> Mined:
    """Mine pairs of `trajectories` into `output` (JSON lines) and its review queue beside it.

    Args:
        work: working file; by default `<output>.work.sqlite`. Delete it to begin anew.

    Raises:
        DataError: an input is missing or cannot be read, or the working file is of another run.
        JudgeError: the judge gave no verdict; all that was judged before is kept.
    """
    inputs = Inputs(tuple(trajectories), tuple(tasks), sources)
    work = work or output.with_suffix(".work.sqlite")
    return Miner(inputs, options or MineOptions(), work, judge, progress).run(output)
