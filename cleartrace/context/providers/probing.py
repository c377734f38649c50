"""Probes: contexts changed on purpose, to learn what earns credit. Runs under them count in no metric (R4)."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from enum import Enum

from cleartrace.context.provider import ContextProvider
from cleartrace.context.providers.base import answer, probe_of, state_hash
from cleartrace.context.providers.simple import Constant, PlaybookProvider
from cleartrace.episodes.types import Context, Task
from cleartrace.llm.tokens import count_tokens


class Perturbation(str, Enum):
    """An instruction that makes the agent show why it does what it does."""

    CITE_PLAYBOOK = "cite_playbook"
    ASK_QUESTIONS = "ask_questions"
    REWRITE_INSTRUCTIONS = "rewrite_instructions"
    STRUCTURED_FEEDBACK = "structured_feedback"


SETS: dict[str, tuple[Perturbation, ...]] = {
    "minimal": (Perturbation.CITE_PLAYBOOK,),
    "standard": (Perturbation.CITE_PLAYBOOK, Perturbation.STRUCTURED_FEEDBACK),
    "rich": (Perturbation.ASK_QUESTIONS, Perturbation.REWRITE_INSTRUCTIONS),
    "full": tuple(Perturbation),
}
"""The published sets; `full` is what dual traces use."""

_TEXTS = {
    Perturbation.CITE_PLAYBOOK: "Before each action, name the playbook entries that lead you to it: "
    "<playbook_cite>e1, e2</playbook_cite>, or <playbook_cite>none</playbook_cite> where no entry does.",
    Perturbation.ASK_QUESTIONS: "Before each action, say what you are not sure of, as a question that somebody who "
    "knows this environment could answer: <uncertainty>your question</uncertainty>. Then act on your best guess; "
    "nobody will answer.",
    Perturbation.REWRITE_INSTRUCTIONS: "After each action, look at what came back and write how the advice you were "
    "given should have read to get you there sooner: <reflection>the better advice</reflection>.",
    Perturbation.STRUCTURED_FEEDBACK: "Where you had to find something out that the advice could have told you, say "
    "what it was: <missing_guidance>the situation; what you needed to know</missing_guidance>.",
}
_OPENING = "While you work on this task, also do the following. None of it changes what the task asks for."


def instructions(names: str | Sequence[Perturbation]) -> tuple[str, str]:
    """(name, text) of a set, or of single perturbations. Errors: ValueError for an unknown name."""
    if isinstance(names, str) and names in SETS:
        name, chosen = str(names.value if isinstance(names, Enum) else names), SETS[names]
    elif isinstance(names, str) and names not in {one.value for one in Perturbation}:
        known = [*SETS, *(one.value for one in Perturbation)]
        raise ValueError(f"no perturbation {names!r}; there are {', '.join(known)}")
    else:
        chosen = (Perturbation(names),) if isinstance(names, str) else tuple(dict.fromkeys(names))
        name = "+".join(one.value for one in chosen)
    if not chosen:
        raise ValueError("a probe without an instruction is no probe")
    return name, "\n".join([_OPENING, *(f"- {_TEXTS[one]}" for one in chosen)])


class Instructed:
    """Another provider's context and instructions behind it, also where that context is empty (R6).

    The instructions come on top of that provider's cap; `cap` is what both may have together.
    """

    def __init__(self, provider: ContextProvider, names: str | Sequence[Perturbation] = "full") -> None:
        self.provider = provider
        self.name, self._instructions = instructions(names)
        self._count = getattr(provider, "count", count_tokens)
        inner = getattr(provider, "cap", None)
        self.cap = None if inner is None else inner + self._count(f"\n\n{self._instructions}")

    @property
    def mark(self) -> str:
        """What runs under these instructions are called; '' where they count as any other."""
        return ""

    @property
    def probe(self) -> str:
        return self._marked(probe_of(self.provider))

    @property
    def hash(self) -> str:
        return state_hash("instructed", self.provider.hash, self._instructions, self.mark)

    async def context_for(self, task: Task, seed: int) -> Context:
        inner = await self.provider.context_for(task, seed)
        text = f"{inner.text}\n\n{self._instructions}" if inner.text else self._instructions
        return answer(text, inner.parts, self.hash, self.cap, self._count, self._marked(inner.probe), inner.usage)

    def _marked(self, inner: str) -> str:
        return "; ".join(filter(None, (inner, self.mark)))


class Probing(Instructed):
    """Instructions that mark the run as a probe."""

    @property
    def mark(self) -> str:
        return f"instructions: {self.name}"


class Without(Constant):
    """A playbook as the agent would see it, with entries left out: leave-one-out credit.

    Nothing takes their place, so that the entries alone make the difference. Errors: ValueError for ids not shown.
    """

    def __init__(self, provider: PlaybookProvider, ids: Collection[str]) -> None:
        shown = {part.id for part in provider.parts}
        if not ids or (missing := sorted(set(ids) - shown)):
            raise ValueError(f"the agent is not shown {', '.join(missing) if ids else 'entries to leave out'}")
        text, parts = provider.shown_without(ids)
        super().__init__(text, parts, provider.cap, provider.count, f"without: {', '.join(sorted(ids))}")


class Dropout:
    """A playbook of which each shown entry is left out with probability `rate`, by a draw of its own.

    The draw comes from (stream, task, seed, entry) alone: it is the same whatever else the playbook holds, so runs of
    two playbooks can be paired.
    """

    def __init__(self, provider: PlaybookProvider, rate: float, stream: str = "dropout") -> None:
        if not 0 < rate < 1:
            raise ValueError(f"a rate of dropout lies between 0 and 1, got {rate}")
        self.provider, self.rate, self.stream = provider, rate, stream
        self.cap, self.count = provider.cap, provider.count

    @property
    def probe(self) -> str:
        return f"dropout: {self.rate:g}"

    @property
    def hash(self) -> str:
        return state_hash("dropout", self.provider.hash, self.rate, self.stream)

    async def context_for(self, task: Task, seed: int) -> Context:
        dropped = {part.id for part in self.provider.parts if self._draw(task, seed, part.id) < self.rate}
        text, parts = self.provider.shown_without(dropped)
        return answer(text, parts, self.hash, self.cap, self.count, self.probe)

    def _draw(self, task: Task, seed: int, id: str) -> float:
        return random.Random(f"{self.stream}:{task.environment}:{task.id}:{seed}:{id}").random()
