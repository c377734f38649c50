"""`cleartrace bench`: adapters to public benchmarks. Their data is the user's to bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

EXIT_DATA = 2

app = typer.Typer(no_args_is_help=True, help="Adapters to public benchmarks whose data you bring.")

Questions = Annotated[Path, typer.Option("--data", help="data.json of LongBench v2.")]


@app.command("longbench-requests")
def longbench_requests(
    data: Questions,
    out: Annotated[Path, typer.Option("--out", help="Requests in OpenAI's batch format, for `vllm run-batch`.")],
    model: Annotated[str, typer.Option("--model-name", help="Name of the model in the requests.")],
    reason: Annotated[bool, typer.Option("--reason/--direct", help="Let the model think before it answers.")] = True,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Room for the answer.")] = 4096,
) -> None:
    """Write one request per question of LongBench v2."""
    with _told():
        from cleartrace.data.files import write_json_lines
        from cleartrace.evaluate.long import longbench

        questions = longbench.read_questions(data)
        rows = longbench.requests(questions, model, reason=reason, max_tokens=max_tokens)
        typer.echo(f"{write_json_lines(out, rows)} requests: {out}")


@app.command("longbench-score")
def longbench_score(
    data: Questions,
    answers: Annotated[Path, typer.Option("--answers", help="Batch output, or lines with _id and response.")],
    out: Annotated[Path, typer.Option("--out", help="JSON file for the scores.")],
) -> None:
    """Score answers to LongBench v2 by length, difficulty and domain."""
    with _told():
        from cleartrace.data.files import write_json
        from cleartrace.evaluate.long import longbench

        table = longbench.scores(longbench.read_questions(data), longbench.read_answers(answers))
        write_json(out, longbench.as_json(table))
        for part, row in table.items():
            for name, share in row.items():
                label = name if part == "all" else f"{part}: {name}"
                interval = f"{share.value:.1%} ({share.low:.1%} - {share.high:.1%})"
                typer.echo(f"{label:42} {interval}  n={share.n}, without a letter {share.unread}")


@app.command("swebench-predictions")
def swebench_predictions(
    patches: Annotated[list[Path], typer.Option("--patches", help="Patches or trajectories; may be given again.")],
    out: Annotated[Path, typer.Option("--out", help="Predictions, .jsonl or .json.")],
    model: Annotated[str, typer.Option("--model-name", help="Name of the model in the predictions.")],
    tasks: Annotated[
        Path | None, typer.Option("--tasks", help="The data set, to find strange and missing ids.")
    ] = None,
) -> None:
    """Check patches and write them as predictions for the SWE-bench harness."""
    with _told():
        from cleartrace.evaluate.long.swebench import export

        done = export(patches, tasks, model, out)
        missing = f", {len(done.missing)} tasks without one" if tasks else ""
        typer.echo(f"{len(done.predictions)} predictions, {done.empty} of them empty{missing}: {out}")


@app.command("vlmeval-check")
def vlmeval_check(
    predictions: Annotated[Path, typer.Option("--predictions", help="Prediction table, .tsv or .xlsx.")],
    data: Annotated[Path | None, typer.Option("--data", help="The benchmark's .tsv, to find missing rows.")] = None,
) -> None:
    """Check that a prediction table is one that VLMEvalKit's evaluators can use."""
    with _told():
        from cleartrace.evaluate.long.vlmeval import check_predictions

        typer.echo(f"{check_predictions(predictions, data)} predictions")


@contextmanager
def _told() -> Iterator[None]:
    from cleartrace.data.errors import DataError

    try:
        yield
    except DataError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_DATA) from None
