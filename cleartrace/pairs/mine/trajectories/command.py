"""`cleartrace pairs mine`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cleartrace.pairs.mine.trajectories.judge import Judge
    from cleartrace.pairs.mine.trajectories.pipeline import Mined


def _judge(url: str, model: str, record: Path | None, replay: Path | None) -> Judge:
    """Raises: ValueError for options that do not go together."""
    from cleartrace.llm.http import Endpoint
    from cleartrace.pairs.mine.trajectories.judge.openai import KEY_VARIABLE, OpenAIJudge
    from cleartrace.pairs.mine.trajectories.judge.recorded import Recorder, Replay
    from cleartrace.pairs.mine.trajectories.judge.rules import RuleJudge

    if replay is not None and (url or record):
        raise ValueError("--replay takes its verdicts from a file: leave out --judge-url and --record")
    if bool(url) != bool(model):
        raise ValueError("--judge-url and --judge-model belong together")
    if replay is not None:
        return Replay(replay)
    judge = OpenAIJudge(Endpoint(url, key=os.environ.get(KEY_VARIABLE)), model) if url else RuleJudge()
    return Recorder(judge, record) if record else judge


def _card(done: Mined) -> dict[str, Any]:
    """Stage 7 over the whole set; without scores where there are fewer than two groups to hold out."""
    from cleartrace.pairs.audit.card import data_card
    from cleartrace.pairs.audit.shortcuts import score_all
    from cleartrace.pairs.audit.shown import print_scores
    from cleartrace.pairs.files import read_pairs

    pairs = read_pairs(done.pairs)
    scores = score_all(pairs) if len({pair.group for pair in pairs}) > 1 else []
    if scores:
        print_scores(scores)
    return data_card([done.pairs], pairs, scores, done.funnel)


def mine(
    trajectories: Annotated[list[Path], typer.Argument(help="Files of trajectories: JSON lines or parquet.")],
    out: Annotated[Path, typer.Option(help="File of pairs to write (.jsonl).")],
    tasks: Annotated[list[Path] | None, typer.Option(help="Task tables: tests, commits, issues.")] = None,
    sources: Annotated[Path | None, typer.Option(help="Folder of checkouts owner__repo.<8 hex>/.")] = None,
    judge_url: Annotated[str, typer.Option(help="OpenAI-compatible endpoint. Key: JUDGE_API_KEY.")] = "",
    judge_model: Annotated[str, typer.Option(help="Its model. Without an endpoint, rules judge.")] = "",
    record: Annotated[Path | None, typer.Option(help="Keep the verdicts in this file.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Take the verdicts from this file.")] = None,
    min_cosine: Annotated[float, typer.Option(help="Least TF-IDF cosine of two issues.")] = 0.25,
    max_cosine: Annotated[float, typer.Option(help="Greatest one.")] = 0.95,
    max_uses: Annotated[int, typer.Option(min=1, help="Pairs that one instance may be in.")] = 4,
    include_issue: Annotated[bool, typer.Option("--include-issue", help="Leave the issue in the contexts.")] = False,
    mask_removed: Annotated[bool, typer.Option(help="Hide the lines that a patch removes, too.")] = True,
    work: Annotated[Path | None, typer.Option(help="Working file. Default: beside --out, .work.sqlite.")] = None,
) -> None:
    """Find pairs among agents' runs: same commit, file and function, other defect. Goes on after a kill."""
    from pydantic import ValidationError

    from cleartrace.pairs.audit.card import write_card
    from cleartrace.pairs.audit.shown import print_funnel
    from cleartrace.pairs.mine.trajectories.judge import JudgeError
    from cleartrace.pairs.mine.trajectories.options import MineOptions
    from cleartrace.pairs.mine.trajectories.pipeline import mine as run
    from cleartrace.pairs.phases import phase_bars

    try:
        options = MineOptions(
            min_cosine=min_cosine,
            max_cosine=max_cosine,
            max_uses=max_uses,
            include_issue=include_issue,
            mask_removed=mask_removed,
        )
        judge = _judge(judge_url, judge_model, record, replay)
        with phase_bars() as progress:
            done = run(
                trajectories, out, judge=judge, tasks=tasks or [], sources=sources, options=options, work=work,
                progress=progress,
            )  # fmt: skip
    except ValidationError as error:
        typer.echo(f"error: {error.errors()[0]['msg']}", err=True)
        raise typer.Exit(2) from None
    except (ValueError, JudgeError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    print_funnel(done.funnel)
    card = out.with_suffix(".card.json")
    write_card(card, _card(done))
    typer.echo(f"pairs: {out}\nto review: {done.review}\ncard: {card}")
