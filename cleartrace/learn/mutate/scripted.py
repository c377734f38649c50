"""A mutator that follows a script: for tests and dry runs, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cleartrace.context.playbook.ops import Operation
from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.mutate.prompt import reflected
from cleartrace.learn.protocol import Proposal, Reflection, Signal


class ScriptedMutator:
    """Proposes what `script` makes of playbook and reflections. Holds no state, so that a resumed run does the same."""

    def __init__(self, script: Callable[[Playbook, Sequence[Reflection]], Sequence[Operation]]) -> None:
        self._script = script

    async def propose(
        self, playbook: Playbook, signals: Sequence[Signal], reflections: Sequence[Reflection], memory: str, seed: int
    ) -> Proposal:
        """See `Mutator`. Operations without source tasks get all that were reflected on."""
        tasks = tuple(reflected(reflections))
        operations = [
            one if one.source_tasks else one.model_copy(update={"source_tasks": tasks})
            for one in self._script(playbook, reflections)
        ]
        return Proposal(operations=tuple(operations), summary="scripted", prompt_hash="scripted")
