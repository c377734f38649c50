"""What `cleartrace context eval` and `compare` do once their options are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from cleartrace.agents.runner import Progress
from cleartrace.agents.workplace import AgentConfig
from cleartrace.evaluate.context.arm import Arm
from cleartrace.evaluate.context.compare import compare
from cleartrace.evaluate.context.metrics import summarise
from cleartrace.evaluate.context.page import Comparison, markdown, write_comparison
from cleartrace.evaluate.context.run import Plan, Started, load_arm, measure
from cleartrace.llm.ledger import LEDGER, Ledger, Spent


async def evaluate_contexts(config: AgentConfig, plan: Plan, folder: Path) -> None:
    """Measure, compare, write, print. Raises what `measure` raises."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        current: list[TaskID] = []

        def begin(started: Started) -> None:
            current.append(bars.add_task(started.name, total=started.runs))

        def tell(progress: Progress) -> None:
            bars.update(current[-1], completed=progress.done)

        arms = await measure(config, plan, folder, begin, tell)
    compare_arms(arms, folder, spent=Ledger.read(folder / LEDGER).spent())


def compare_folders(folders: Sequence[Path], out: Path, force: bool) -> None:
    """Arms of one or several evaluations. Raises `DataError`, `Unfair`."""
    ledgers = {folder.resolve().parent / LEDGER: None for folder in folders}
    compare_arms(list(map(load_arm, folders)), out, force, Ledger.read(*ledgers).spent())


def compare_arms(arms: Sequence[Arm], folder: Path, force: bool = False, spent: tuple[Spent, ...] = ()) -> None:
    """Raises `Unfair`."""
    base, *others = arms
    paired = tuple(compare(base, other, force=force) for other in others)
    title = f"{base.manifest.environment}, {base.manifest.split}"
    comparison = Comparison(title, tuple(map(summarise, arms)), paired, spent)
    page = write_comparison(comparison, folder)
    console = Console(soft_wrap=True, highlight=False)
    console.print(markdown(comparison), markup=False)
    console.print(f"page: {page}", markup=False)
