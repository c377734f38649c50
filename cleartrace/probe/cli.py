"""`cleartrace probe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.evaluate.names import API_KEY_VARIABLE
from cleartrace.probe.names import Mode

EXIT_STOPPED, EXIT_SETTINGS = 1, 2

Data = Annotated[list[Path], typer.Option("--data", help="Pairs (JSON lines or parquet). May be given again.")]
Training = Annotated[
    list[Path] | None, typer.Option("--training", help="Pairs the model was trained on: their groups are not asked.")
]


def probe(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder of this probe. The same command resumes it.")],
    model: Annotated[Path | None, typer.Option("--model", help="Hugging Face folder, text or vision.")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Address of an OpenAI-compatible server.")] = None,
    mode: Annotated[
        Mode, typer.Option("--mode", help="Read the letters' logits, or let the model write.")
    ] = Mode.LOGIT,
    per_kind: Annotated[int, typer.Option("--per-kind", help="Pairs of each kind there is.")] = 200,
    training: Training = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Ask exactly the pairs of this probe.")] = None,
    controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Ask the two controls too.")] = True,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sample.")] = 0,
    letters: Annotated[str, typer.Option("--letters", help="Names of the contexts.")] = "A,B",
    include_issue: Annotated[bool, typer.Option("--include-issue", help="Show the issue inside trajectories.")] = False,
    answer_tokens: Annotated[int, typer.Option("--answer-tokens", help="Room for a generated answer.")] = 16,
    device: Annotated[str, typer.Option("--device", help="Device of a local model: cpu, cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option("--dtype", help="Type of a local model: auto, float32, bfloat16.")] = "auto",
    batch_tokens: Annotated[int, typer.Option("--batch-tokens", help="Padded tokens of a local batch.")] = 16384,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="Longest prompt of a local model.")] = None,
    answer_prefix: Annotated[
        str, typer.Option("--answer-prefix", help="auto closes an open thought; none; or text.")
    ] = "auto",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that lies in the model folder.")
    ] = False,
    chat_template_kwargs: Annotated[str, typer.Option(help='JSON, such as {"enable_thinking": false}.')] = "{}",
    mm_processor_kwargs: Annotated[str, typer.Option(help='JSON, such as {"max_pixels": 1003520}.')] = "{}",
    endpoint_model: Annotated[str | None, typer.Option("--endpoint-model", help="Model name there.")] = None,
    api_key_env: Annotated[
        str, typer.Option("--api-key-env", help="Environment variable that holds the API key.")
    ] = API_KEY_VARIABLE,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Requests at a time.")] = 8,
    request_timeout: Annotated[float, typer.Option("--request-timeout", help="Seconds for one answer.")] = 120.0,
    patience: Annotated[float, typer.Option("--patience", help="Seconds a failing request is tried again.")] = 300.0,
    extra: Annotated[str, typer.Option(help="JSON fields of each request; null takes one out.")] = "{}",
) -> None:
    """Measure how often a model picks the context that supports an answer, with its biases and controls."""
    given = dict(locals())
    _run(_settings(given))


def _settings(given: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from cleartrace.probe.settings import ModelSettings, ProbeSettings

    renamed = {"request_timeout": "request_timeout_s", "patience": "patience_s"}
    values = {renamed.get(name, name): value for name, value in given.items()}
    for name in ("chat_template_kwargs", "mm_processor_kwargs", "extra"):
        values[name] = _json_object(name, values[name])
    values["letters"] = tuple(values["letters"].split(","))
    values["training"] = values["training"] or ()
    model = {name: values.pop(name) for name in ModelSettings.model_fields if name != "model"}
    try:
        return ProbeSettings(**{**values, "model": ModelSettings(model=values["model"], **model)})
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(map(str, problem["loc"]))
            message = problem["msg"].removeprefix("Value error, ")
            typer.echo(f"error: {where}: {message}" if where else f"error: {message}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from None


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        value = error
    if not isinstance(value, dict):
        typer.echo(f"error: --{name.replace('_', '-')}: expected a JSON object, got {text!r}", err=True)
        raise typer.Exit(EXIT_SETTINGS)
    return value


def _run(settings: Any) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cleartrace.data.errors import DataError
    from cleartrace.data.growing import StoreError
    from cleartrace.llm.http import EndpointUnavailable
    from cleartrace.pairs.letters import LetterError
    from cleartrace.probe.manifest import read_manifest
    from cleartrace.probe.page import tables, write_summary
    from cleartrace.probe.run import MANIFEST, run
    from cleartrace.probe.summary import NothingAnswered

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("asking", total=None)
            summary = run(settings, lambda done, total: bar.update(task, completed=done, total=total))
        page = write_summary(summary, read_manifest(settings.out / MANIFEST), settings)
    except (DataError, StoreError, LetterError, NothingAnswered) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
    except EndpointUnavailable as error:
        typer.echo(f"error: {error} The answers so far are kept; the same command goes on.", err=True)
        raise typer.Exit(EXIT_STOPPED) from None
    Console().print(tables(summary))
    typer.echo(page)
