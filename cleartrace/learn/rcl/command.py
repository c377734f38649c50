"""What `cleartrace optimize` does once its options are read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cleartrace.context.playbook.files import load as load_playbook
from cleartrace.context.playbook.types import Playbook
from cleartrace.data.errors import DataError
from cleartrace.learn.rcl.loop import Result, SettingsError, Stop, optimize
from cleartrace.learn.rcl.progress import ConsoleProgress
from cleartrace.learn.rcl.run_config import ConfigError, RunConfig, changed, make_config, read_yaml, write_yaml
from cleartrace.learn.rcl.rundir import RunDirectory, RunDirectoryError
from cleartrace.llm.budget import Budget, Limits
from cleartrace.llm.ledger import Ledger
from cleartrace.llm.protocol import BudgetExhausted


@dataclass(frozen=True)
class Order:
    """What the command line asks for. `given`: settings as options, by the names of fields."""

    given: dict[str, Any]
    files: tuple[Path, ...] = ()
    output: Path | None = None
    resume: Path | None = None
    allow_change: bool = False
    dry_run: bool = False

    def folder(self, config: RunConfig) -> Path:
        """Of the run."""
        return self.resume or self.output or Path("runs") / f"rcl-{config.environment}"


@dataclass(frozen=True)
class Purse:
    """What a run may spend, and what it has spent."""

    ledger: Ledger
    budget: Budget

    def spent(self) -> str:
        """In words; '' before the first call."""
        total = self.ledger.total
        cost = "" if total.usage.cost is None else f", ${total.usage.cost:.2f}"
        return f"{total.calls} calls, {total.tokens} tokens{cost}" if total.attempts else ""


async def run_order(order: Order, config: RunConfig, console: Console | None = None) -> int:
    """The exit status: 0 where the run finished or its budget ended it. Raises `ConfigError`."""
    console, folder = console or Console(), order.folder(config)
    if order.dry_run:
        console.print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), markup=False, highlight=False)
        return 0
    try:
        with RunDirectory(
            folder, resume=order.resume is not None, checkpoint_interval=config.checkpoint_interval
        ) as store:
            write_yaml(folder / "config.yaml", config)
            result, purse = await _run(order, config, store, console)
    except (RunDirectoryError, SettingsError, DataError) as error:
        raise ConfigError(str(error)) from None
    _summary(console, folder, result, purse)
    return 0 if result.stop in (Stop.FINISHED, Stop.BUDGET) else 1


def settings(order: Order) -> RunConfig:
    """Of the files, with those given on top. A run that goes on keeps its own, unless a change is allowed."""
    config = _settings(order)
    if not config.environment:
        raise ConfigError("name an environment, e.g. cleartrace optimize ruleworld")
    return config


def _settings(order: Order) -> RunConfig:
    layers = [read_yaml(path) for path in order.files]
    if order.resume is None:
        return make_config(*layers, order.given)
    if not (order.resume / "config.yaml").is_file():
        raise ConfigError(f"{order.resume} holds no run to go on with: it has no config.yaml")
    old = make_config(read_yaml(order.resume / "config.yaml"))
    new = make_config(old.model_dump(mode="json"), *layers, order.given)
    if (differences := changed(old, new)) and not order.allow_change:
        raise ConfigError(
            f"the run in {order.resume} was begun with other settings ({'; '.join(differences)}); "
            "leave them out, or give --allow-config-change"
        )
    return new


async def _run(order: Order, config: RunConfig, store: RunDirectory, console: Console) -> tuple[Result, Purse]:
    from cleartrace.learn.rcl.assemble import assemble

    ledger = Ledger(store.folder / "ledger.jsonl")
    purse = Purse(ledger, Budget(ledger, _limits(config)))
    async with AsyncExitStack() as stack:
        stack.callback(ledger.close)
        made = await assemble(config, purse.ledger, purse.budget, store.folder, stack)
        for note in made.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        seed = _seed(config, made.sections)
        with ConsoleProgress(console, purse.spent) as progress:
            result = await optimize(
                config,
                made.parts,
                seed,
                store=store,
                progress=progress,
                guard=_guard(purse.budget, config.max_seconds),
                allow_change=order.allow_change,
            )
    return result, purse


def _seed(config: RunConfig, sections: Mapping[str, str]) -> Playbook:
    """The playbook to start from, with the environment's sections where it names none."""
    playbook = load_playbook(Path(config.seed_playbook)) if config.seed_playbook else Playbook()
    return playbook if playbook.sections else playbook.model_copy(update={"sections": dict(sections)})


def _limits(config: RunConfig) -> Limits:
    return Limits(calls=config.max_calls or None, tokens=config.max_tokens or None, cost=config.max_cost or None)


def _guard(budget: Budget, max_seconds: float) -> Callable[[], None]:
    """Ends the run before a phase that would begin over the budget or after its time."""
    began = time.monotonic()

    def check() -> None:
        if reason := budget.exhausted:
            raise BudgetExhausted(reason)
        if max_seconds and (took := time.monotonic() - began) >= max_seconds:
            raise BudgetExhausted(f"wall seconds: {took:.0f} of {max_seconds:g}")

    return check


def _summary(console: Console, folder: Path, result: Result, purse: Purse) -> None:
    best = result.best
    value = "" if best.value is None else f", validated {best.value:.3f}"
    lines = [
        f"{'stopped' if result.stop is not Stop.FINISHED else 'finished'}: {result.reason}",
        f"best playbook: after iteration {best.iteration}, {len(best.playbook)} entries{value} ({folder}/best.json)",
        f"last playbook: after iteration {result.state.iteration}, {len(result.playbook)} entries "
        f"({folder}/playbook.json)",
    ]
    if (final := result.final) is not None and final.passed is not None:
        lines.append(f"last validation: {final.mean:.3f}, {100 * final.passed:.0f} % of {final.n} runs passed")
    if result.stop is not Stop.FINISHED:
        lines.append(f"go on with: cleartrace optimize --resume {folder}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if purse.ledger.total.attempts:
        console.print(purse.ledger.table())
