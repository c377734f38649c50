"""What `cleartrace context credit` does: probe runs of an agent, and from them the effect of each entry."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cleartrace.agents.workplace import AgentConfig, WorkplaceError, open_workplace
from cleartrace.context.playbook.files import load
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers import PlaybookProvider
from cleartrace.data.files import whole_file
from cleartrace.episodes.store import EpisodeStore
from cleartrace.evaluate.context.names import CreditMethod
from cleartrace.learn.credit import Credits, credit_draws, dropout, leave_one_out
from cleartrace.llm.ledger import LEDGER


@dataclass(frozen=True)
class Measurement:
    """What is measured; fields as the options of the command."""

    playbook: Path
    method: CreditMethod
    split: str
    draws: int
    runs_each: int
    rate: float
    cap: int | None
    seed: int


async def measure_credit(config: AgentConfig, plan: Measurement, out: Path) -> Credits:
    """Measure, write `out` and print a table. Runs go to `<out without suffix>-episodes`, and are not made twice; what
    they took goes to `<out without suffix>-ledger.jsonl`.

    Raises:
        DataError: the playbook cannot be read. WorkplaceError: settings. BudgetExhausted.
    """
    playbook = load(plan.playbook)
    if not len(playbook):
        raise WorkplaceError(f"{plan.playbook} has no entries to measure")
    async with AsyncExitStack() as stack:
        store = EpisodeStore(out.with_name(f"{out.stem}-episodes"))
        ledger = out.with_name(f"{out.stem}-{LEDGER}")
        place = await open_workplace(config, store, stack, cap=plan.cap, ledger=ledger)
        place.models.check()
        provider = PlaybookProvider(playbook, plan.cap)
        draws = credit_draws(place.split(plan.split), plan.draws, plan.seed)
        if plan.method is CreditMethod.DROPOUT:
            options = {"rate": plan.rate, "runs_each": plan.runs_each, "seed": plan.seed}
            try:
                credits = await dropout(provider, draws, place.runner, **options)
            except ValueError as error:
                raise WorkplaceError(str(error)) from error
        else:
            credits = await leave_one_out(provider, draws, place.runner)
    with whole_file(out) as partial:
        partial.write_text(credits.model_dump_json(indent=1) + "\n", encoding="utf-8")
    Console().print(table(playbook, credits))
    return credits


def table(playbook: Playbook, credits: Credits) -> Table:
    """Entries from the most helpful to the most harmful, those without a measurement last."""
    shown = Table(title=f"Effect on the mean score, points; {credits.runs} runs, {credits.unscored} without a score")
    for name in ("entry", "effect", "95 % interval", "n", "text"):
        shown.add_column(name, justify="left" if name in ("entry", "text") else "right")
    effects = {entry.id: credits.of(entry.id) for entry in playbook.entries}
    for entry in sorted(playbook.entries, key=lambda one: -(e.mean if (e := effects[one.id]) else float("-inf"))):
        effect = effects[entry.id]
        cells = ("", "not measured", "") if effect is None else (
            f"{100 * effect.mean:+.1f}", f"{100 * effect.low:+.1f} to {100 * effect.high:+.1f}", str(effect.n)
        )  # fmt: skip
        shown.add_row(entry.id, *cells, entry.text)
    return shown
