"""An agent without a model whose runs count as if it had one, so that budgets and reports hold for it too."""

from __future__ import annotations

from cleartrace.agents.protocol import ExecutionAgent
from cleartrace.episodes.types import Context, Episode, Task
from cleartrace.llm.budget import Budget
from cleartrace.llm.ledger import Account, Ledger
from cleartrace.llm.protocol import BudgetExhausted, Role


class Charged:
    """A run is a call; what the agent says it used stands for its tokens.

    Raises:
        BudgetExhausted: from `run`, before a run that the budget does not hold.
    """

    def __init__(self, agent: ExecutionAgent, ledger: Ledger, budget: Budget | None = None) -> None:
        self._agent, self._ledger, self._budget = agent, ledger, budget

    @property
    def hash(self) -> str:
        return self._agent.hash

    async def run(self, task: Task, context: Context, seed: int) -> Episode:
        if self._budget is not None and (reason := self._budget.exhausted):
            raise BudgetExhausted(reason)
        episode = await self._agent.run(task, context, seed)
        usage = episode.trajectory.usage
        self._ledger.add(Role.AGENT, Account(attempts=1, usage=usage, unpriced=int(usage.cost is None)))
        return episode
