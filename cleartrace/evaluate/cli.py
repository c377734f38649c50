"""`cleartrace eval`, `passrate`, `serve` and `export-lcb`. The first three go on in the veRL layer, by its name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.evaluate.names import API_KEY_VARIABLE, PromptAs, Rollback

EXIT_SETTINGS = 2

Data = Annotated[list[Path], typer.Option("--data", help="Task file (parquet, veRL's columns). May be given again.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of this run. The same command resumes it.")]
Model = Annotated[Path | None, typer.Option("--model", help="Model folder for the embedded engine.")]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Address of an OpenAI-compatible server.")]
EndpointModel = Annotated[str | None, typer.Option("--endpoint-model", help="Model name there, if it serves several.")]
Tokenizer = Annotated[Path | None, typer.Option("--tokenizer", help="Folder with the endpoint model's tokenizer.")]
PromptForm = Annotated[PromptAs, typer.Option("--prompt-as", help="Send the endpoint token ids or text.")]
KeyVariable = Annotated[str, typer.Option("--api-key-env", help="Environment variable that holds the API key.")]
Patience = Annotated[float, typer.Option("--patience", help="Seconds a failing endpoint is tried again.")]
RequestTimeout = Annotated[float, typer.Option("--request-timeout", help="Seconds an endpoint may take to answer.")]
Device = Annotated[str, typer.Option("--device", help="Device of the embedded engine: cpu, cuda.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Type of the embedded engine: auto, float32, bfloat16.")]
JudgeUrl = Annotated[str | None, typer.Option("--judge-url", help="A running judge; without, one is started.")]
JudgeWorkers = Annotated[int, typer.Option("--judge-workers", help="Workers of a judge that is started.")]
JudgeLimit = Annotated[int, typer.Option("--judge-time-limit", help="CPU seconds per program on that judge.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Only the first questions.")]
Concurrency = Annotated[int, typer.Option("--concurrency", help="Rollouts at a time.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the sampling.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="0 takes the most likely token.")]
TopP = Annotated[float | None, typer.Option("--top-p", help="Nucleus of the sampling.")]
PromptTokens = Annotated[int | None, typer.Option("--prompt-tokens", help="Room for the prompt.")]
ResponseTokens = Annotated[int | None, typer.Option("--response-tokens", help="Room for all turns and tool answers.")]
MaxTurns = Annotated[int | None, typer.Option("--max-turns", help="Turns of the model.")]
InfraRetries = Annotated[int, typer.Option("--infra-retries", help="New starts of a rollout that a service spoiled.")]
RetryLost = Annotated[bool, typer.Option("--retry-lost", help="Make again what earlier starts could not grade.")]
Recipe = Annotated[Path | None, typer.Option("--recipe", help="Folder with experiment files, as for `train`.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, as for `cleartrace train`.")]


def evaluate(
    data: Data,
    out: Out,
    overrides: Overrides = None,
    model: Model = None,
    endpoint: Endpoint = None,
    tokenizer: Tokenizer = None,
    n: Annotated[int, typer.Option("--n", help="Rollouts per question and arm.")] = 32,
    rollback: Annotated[Rollback, typer.Option("--rollback", help="Arms to run.")] = Rollback.BOTH,
    trajectories: Annotated[
        bool, typer.Option("--trajectories/--no-trajectories", help="Keep every token, for `cleartrace report`.")
    ] = True,
    endpoint_model: EndpointModel = None,
    prompt_as: PromptForm = PromptAs.IDS,
    api_key_env: KeyVariable = API_KEY_VARIABLE,
    patience: Patience = 300.0,
    request_timeout: RequestTimeout = 1800.0,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    judge_url: JudgeUrl = None,
    judge_workers: JudgeWorkers = 2,
    judge_time_limit: JudgeLimit = 4,
    limit: Limit = None,
    concurrency: Concurrency = 16,
    seed: Seed = 0,
    temperature: Temperature = None,
    top_p: TopP = None,
    prompt_tokens: PromptTokens = None,
    response_tokens: ResponseTokens = None,
    max_turns: MaxTurns = None,
    infra_retries: InfraRetries = 2,
    retry_lost: RetryLost = False,
    recipe: Recipe = None,
) -> None:
    """Roll a policy out over task files and report avg@k, pass@k and maj@k with and without rollback."""
    given = dict(locals())
    from cleartrace.evaluate.settings import EvalSettings

    own = {"rollback": rollback, "trajectories": trajectories}
    _go_on("eval", _checked(EvalSettings, **_run_settings(given), **own))


def passrate(
    data: Data,
    out: Out,
    overrides: Overrides = None,
    model: Model = None,
    endpoint: Endpoint = None,
    tokenizer: Tokenizer = None,
    n: Annotated[int, typer.Option("--n", help="Rollouts per row.")] = 8,
    endpoint_model: EndpointModel = None,
    prompt_as: PromptForm = PromptAs.IDS,
    api_key_env: KeyVariable = API_KEY_VARIABLE,
    patience: Patience = 300.0,
    request_timeout: RequestTimeout = 1800.0,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    judge_url: JudgeUrl = None,
    judge_workers: JudgeWorkers = 2,
    judge_time_limit: JudgeLimit = 4,
    limit: Limit = None,
    concurrency: Concurrency = 16,
    seed: Seed = 0,
    temperature: Temperature = None,
    top_p: TopP = None,
    prompt_tokens: PromptTokens = None,
    response_tokens: ResponseTokens = None,
    max_turns: MaxTurns = None,
    infra_retries: InfraRetries = 2,
    retry_lost: RetryLost = False,
    recipe: Recipe = None,
) -> None:
    """Measure how often a policy solves each row: the statistics that the pass-rate filter reads."""
    given = dict(locals())
    from cleartrace.evaluate.settings import PassrateSettings

    _go_on("passrate", _checked(PassrateSettings, **_run_settings(given)))


def serve(
    model: Annotated[Path, typer.Option("--model", exists=True, file_okay=False, help="Model folder.")],
    host: Annotated[str, typer.Option(help="Beyond loopback only with CLEARTRACE_SERVE_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    name: Annotated[str | None, typer.Option(help="Name of the model in requests; default: its folder's.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    max_context: Annotated[int | None, typer.Option(help="Tokens of prompt and answer; default: the model's.")] = None,
    max_slots: Annotated[int, typer.Option(help="Requests decoded at a time.")] = 32,
    tool_format: Annotated[str, typer.Option(help="How the model writes tool calls.")] = "hermes",
) -> None:
    """Serve a model folder with the embedded engine, in OpenAI's shapes."""
    given = dict(locals())
    from cleartrace.evaluate.settings import ServeSettings

    _go_on("serve", _checked(ServeSettings, **given))


def _run_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Options of a run by the names of RunSettings."""
    from cleartrace.evaluate.settings import JudgeSettings, PolicySettings

    judge = {"url": "judge_url", "workers": "judge_workers", "time_limit_s": "judge_time_limit"}
    policy = {name: name for name in ("model", "endpoint", "endpoint_model", "tokenizer", "prompt_as", "api_key_env")}
    policy |= {"device": "device", "dtype": "dtype", "request_timeout_s": "request_timeout", "patience_s": "patience"}
    direct = (
        "out", "n", "limit", "concurrency", "seed", "temperature", "top_p", "prompt_tokens", "response_tokens",
        "max_turns", "infra_retries", "retry_lost", "recipe",
    )  # fmt: skip
    return {
        **{name: given[name] for name in direct},
        "data": tuple(given["data"]),
        "overrides": tuple(given["overrides"] or ()),
        "policy": _checked(PolicySettings, **{ours: given[name] for ours, name in policy.items()}),
        "judge": _checked(JudgeSettings, **{ours: given[name] for ours, name in judge.items()}),
    }


def _checked(kind: Any, **values: Any) -> Any:
    from pydantic import ValidationError

    try:
        return kind(**values)
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(map(str, problem["loc"]))
            message = problem["msg"].removeprefix("Value error, ")
            typer.echo(f"error: {where}: {message}" if where else f"error: {message}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from None


def _go_on(command: str, settings: Any) -> None:
    sys.stdout.flush()
    # Replaces this process, so that signals and the exit status are those of the run.
    module = [sys.executable, "-m", "cleartrace_verl.offline"]
    os.execv(sys.executable, [*module, command, settings.model_dump_json()])


def export_lcb(
    rollouts: Annotated[Path, typer.Option("--rollouts", help="rollouts.jsonl of an evaluation.")],
    benchmark: Annotated[Path, typer.Option("--benchmark", help="Parquet file of the benchmark, with question_id.")],
    out: Annotated[Path, typer.Option("--out", help="JSON file for LiveCodeBench's custom evaluator.")],
    arm: Annotated[str, typer.Option("--arm", help="Arm to export: off or on.")] = "off",
    n: Annotated[int, typer.Option("--n", help="Programs per question.")] = 10,
    start_date: Annotated[str | None, typer.Option(help="First contest date, YYYY-MM-DD.")] = None,
    end_date: Annotated[str | None, typer.Option(help="Last contest date, YYYY-MM-DD.")] = None,
) -> None:
    """Write the programs of an evaluation in the format of LiveCodeBench's custom evaluator."""
    from cleartrace.data.errors import DataError
    from cleartrace.data.growing import StoreError
    from cleartrace.evaluate.lcb import ExportError, Window, export

    try:
        written = export(rollouts, benchmark, out, arm=arm, n=n, window=Window.parse(start_date, end_date))
    except (DataError, ExportError, StoreError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
    typer.echo(f"{written} questions, {n} programs each: {out}")
