"""`cleartrace clear collect | import | reflect | split | export | show`: from runs to training data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cleartrace.agents.workplace import AgentConfig
from cleartrace.episodes.names import Format
from cleartrace.flags import with_flags
from cleartrace.learn.clear.names import Target
from cleartrace.learn.clear.reflect_settings import ReflectSettings

EXIT_SETTINGS = 2
EXIT_BUDGET = 3

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project, as `collect` made it.")]
Name = Annotated[str, typer.Option("--name", help="Another set of rows of the same runs, e.g. no-contrast.")]


@with_flags(AgentConfig, leave_out=("environment",))
def collect(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Environment, e.g. ruleworld.")],
    out: Annotated[Path, typer.Option(help="Folder of the project. The same command goes on.")],
    runs: Annotated[int, typer.Option(min=1, help="Runs of each task, under common seeds.")] = 6,
    context: Annotated[
        str, typer.Option(help="What the agent is given: none, static:FILE, playbook:FILE, rag:FILE, model:SPEC.")
    ] = "none",
    split: Annotated[str, typer.Option(help="Split whose tasks are run.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="So many tasks, of the scenarios in turn.")] = None,
    cap: Annotated[int | None, typer.Option(min=1, help="Tokens that a context may have.")] = None,
    seed: Annotated[int, typer.Option(help="The runs' seeds derive from it.")] = 42,
    *,
    given: dict[str, Any],
) -> None:
    """Run a frozen agent several times on each task."""
    from cleartrace.learn.clear.collect import CollectPlan
    from cleartrace.learn.clear.stages import run_collect

    with _errors_in_words():
        config = AgentConfig.checked({"environment": environment, **given})
        asyncio.run(run_collect(config, CollectPlan(runs, context, split, limit, cap, seed), out))


def import_(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Runs of others: a replay folder, a log, a store.")],
    out: Annotated[Path, typer.Option(help="Folder of the project.")],
    format: Annotated[Format | None, typer.Option(help="What SOURCE is; guessed without.")] = None,
    environment: Annotated[str, typer.Option(help="Name for runs that do not say theirs.")] = "",
    agent: Annotated[str, typer.Option(help="The same for the agent.")] = "",
    scenario: Annotated[
        str, typer.Option(help="Pattern whose first group in a task's id is its scenario, e.g. '^(.+)_[0-9]+$'.")
    ] = "",
    tasks: Annotated[
        Path | None, typer.Option(help="JSON lines with id, input and group, in place of what the runs say.")
    ] = None,
) -> None:
    """Take runs that others made, and the tasks they were on."""
    from cleartrace.episodes.importers.common import Source
    from cleartrace.learn.clear.adopt import Adoption
    from cleartrace.learn.clear.stages import run_import

    with _errors_in_words():
        run_import(Adoption(Source(source, environment, agent), format, scenario, tasks), out)


@with_flags(ReflectSettings, leave_out=("k", "n"), switches={"outcomes": "--no-outcomes"})
def reflect(
    folder: Folder,
    k: Annotated[int, typer.Option("-k", help="Runs looked at together; 1 is the ablation without contrast.")] = 3,
    n: Annotated[int, typer.Option("--n", "-n", help="Of the first so many runs of a task.")] = 6,
    name: Name = "",
    *,
    given: dict[str, Any],
) -> None:
    """Let an agent with a restricted shell contrast runs and write guidance, and gather it as rows."""
    from cleartrace.learn.clear.stages import run_reflect

    with _errors_in_words():
        stopped = asyncio.run(run_reflect(ReflectSettings.checked({**given, "k": k, "n": n}), folder, name))
        if stopped:
            _fail(f"{stopped}; what was finished is kept, and the same command goes on", EXIT_BUDGET)


def split(
    folder: Folder,
    share: Annotated[float, typer.Option(help="Share of the rows that is held out, by whole scenarios.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Which scenarios.")] = 0,
    near: Annotated[
        float,
        typer.Option(help="Share of common word trigrams from which on two tasks are one; above 1 looks for none."),
    ] = 0.9,
    name: Name = "",
) -> None:
    """Hold out scenarios: no task is on both sides."""
    from cleartrace.learn.clear.stages import run_split

    with _errors_in_words():
        run_split(folder, name, share, seed, near)


def export(
    folder: Folder,
    to: Annotated[
        Target,
        typer.Option(help="chat: JSON lines. verl: SFT parquet. llamafactory: its folder. prompts: GRPO parquet."),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the files; DIR/export/FORMAT without.")] = None,
    model: Annotated[str | None, typer.Option(help="llamafactory: the model that is trained.")] = None,
    template: Annotated[str | None, typer.Option(help="llamafactory: its template.")] = None,
    output: Annotated[str | None, typer.Option(help="llamafactory: where the trained model goes.")] = None,
    tokens: Annotated[str, typer.Option(help="How lengths are counted: estimate, or tokenizer:PATH.")] = "estimate",
    name: Name = "",
) -> None:
    """Write both sides as training data, with a card."""
    from cleartrace.learn.clear.exporting import ExportPlan
    from cleartrace.learn.clear.stages import run_export

    with _errors_in_words():
        own = {"model": model, "template": template, "output": output}
        chosen = {key: value for key, value in own.items() if value is not None}
        if chosen and to is not Target.LLAMAFACTORY:
            _fail(f"--{next(iter(chosen))} has no effect on --to {to.value}: leave it out", EXIT_SETTINGS)
        run_export(ExportPlan(to, counter=tokens, **chosen), folder, name, out)


def show(folder: Folder, name: Name = "") -> None:
    """Say what every stage has so far, with an example row."""
    from cleartrace.learn.clear.show import show_project

    with _errors_in_words():
        show_project(folder, name)


def register(app: typer.Typer) -> None:
    """The commands, in the order of the stages."""
    app.command("collect")(collect)
    app.command("import")(import_)
    app.command("reflect")(reflect)
    app.command("split")(split)
    app.command("export")(export)
    app.command("show")(show)


@contextmanager
def _errors_in_words() -> Iterator[None]:
    """Turn what the user can mend into one message and a status."""
    from cleartrace.agents.workplace import WorkplaceError
    from cleartrace.data.errors import DataError
    from cleartrace.episodes.files import StoreError
    from cleartrace.learn.clear.project import ProjectError
    from cleartrace.llm.protocol import BudgetExhausted

    try:
        yield
    except (WorkplaceError, ProjectError, DataError, StoreError, ValueError) as error:
        _fail(str(error), EXIT_SETTINGS)
    except BudgetExhausted as error:
        _fail(f"{error}; what was finished is kept, and the same command with a larger budget goes on", EXIT_BUDGET)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on", 130)


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(status)
