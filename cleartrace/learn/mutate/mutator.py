"""The mutator that asks a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cleartrace.context.playbook.ops import Op, Operation, Refusal
from cleartrace.context.playbook.parse import Read, read_operations, read_summary
from cleartrace.context.playbook.types import Playbook
from cleartrace.learn.facts import Facts
from cleartrace.learn.mutate.findings import only_variance
from cleartrace.learn.mutate.prompt import DEFAULTS, Options, Runs, mutation_prompt, reflected, reply_schema
from cleartrace.learn.mutate.summary import Summariser
from cleartrace.learn.protocol import Proposal, Reflection, Signal
from cleartrace.learn.rcl.streams import seed_of
from cleartrace.learn.reflect.runs import BUDGET, Budget
from cleartrace.learn.reflect.tasks import runs_in, shown
from cleartrace.llm.protocol import LLM, Finish, Malformed, Refused, Request, Role, Thinking
from cleartrace.trajectory.record import written


class LLMMutator:
    """One call over all findings. What cannot be read, and what was not on offer, is refused with a reason (S3, S4).

    Args:
        budget: how much of the runs the prompt shows, with `Runs.FULL`.
        summariser: makes the summaries that `Runs.SUMMARY` shows; needed then, and refused otherwise.
        max_tokens: of the reply.
    """

    def __init__(
        self,
        llm: LLM,
        facts: Facts,
        options: Options = DEFAULTS,
        *,
        summariser: Summariser | None = None,
        budget: Budget = BUDGET,
        thinking: Thinking = Thinking.DEFAULT,
        max_tokens: int | None = 8_192,
    ) -> None:
        if (summariser is None) == (options.runs is Runs.SUMMARY):
            raise ValueError(f"a summariser goes with runs=summary alone, got runs={options.runs.value}")
        self._llm = llm
        self._facts = facts
        self._options = options
        self._summariser = summariser
        self._budget = budget
        self._thinking = thinking
        self._max_tokens = max_tokens

    async def propose(
        self, playbook: Playbook, signals: Sequence[Signal], reflections: Sequence[Reflection], memory: str, seed: int
    ) -> Proposal:
        """See `Mutator`. No call is made where nothing was found, or where variance is all that was."""
        tasks = reflected(reflections)
        if not tasks:
            return Proposal(error="nothing was found to edit from")
        if self._options.more_runs_on_variance and (again := only_variance(reflections)):
            return Proposal(
                summary="The tasks failed by variance of execution: run them more often, edit nothing.", more_runs=again
            )
        examined = [one for one in signals if one.task.id in tasks]
        runs = await self._runs(examined, reflections, seed)
        prompt = mutation_prompt(self._facts, self._options, playbook, examined, reflections, runs, memory)
        request = Request(
            role=Role.MUTATOR,
            messages=prompt.messages,
            schema_=reply_schema(self._options.operations),
            thinking=self._thinking,
            max_tokens=self._max_tokens,
            seed=seed_of(seed, "mutate"),
        )
        try:
            reply = await self._llm.complete(request)
        except (Refused, Malformed) as error:
            return Proposal(prompt_hash=prompt.hash, error=f"there is no answer: {error}")
        if reply.finish is Finish.LENGTH:
            cut = "the reply was cut off at the limit of tokens, and edits with it"
            return Proposal(raw=written(reply.text) or "", prompt_hash=prompt.hash, error=cut)
        return read_proposal(reply.text, self._options.operations, tasks, prompt.hash)

    async def _runs(self, signals: Sequence[Signal], reflections: Sequence[Reflection], seed: int) -> list[str]:
        if self._summariser is not None:
            return await self._summariser.summaries(signals, reflections, seed)
        if self._options.runs is Runs.NONE:
            return []
        limit = self._budget.for_runs(runs_in(signals))
        return [shown(one, self._budget, limit).document() for one in signals]


def read_proposal(text: str, offered: Collection[Op], tasks: Sequence[str], prompt_hash: str) -> Proposal:
    """What a reply proposes: each proposal is an operation that was on offer, or refused.

    Example:
        >>> text = '[{"op": "ADD", "content": "Look twice."}, {"op": "MERGE", "entry_ids": ["e1", "e2"]}, null]'
        >>> read = read_proposal(text, [Op.ADD], ["t1"], "")
        >>> read.operations[0].source_tasks, [one.reason for one in read.refused]
        (('t1',), ['not an object but null', 'MERGE is not on offer; ADD is'])
    """
    read = read_operations(text, tasks=tasks)
    taken, surplus = _on_offer(read, offered)
    unreadable = [one.reason for one in read.refused if one.proposed is None and not read.operations]
    return Proposal(
        operations=taken,
        refused=(*read.refused, *surplus),
        summary=read_summary(text),
        raw=written(text) or "",
        prompt_hash=prompt_hash,
        error=unreadable[0] if len(read.refused) == 1 and unreadable else "",
    )


def _on_offer(read: Read, offered: Collection[Op]) -> tuple[tuple[Operation, ...], tuple[Refusal, ...]]:
    names = ", ".join(op.value for op in Op if op in offered)
    reason = f"is not on offer; {names} {'is' if len(offered) == 1 else 'are'}"
    taken = tuple(one for one in read.operations if one.op in offered)
    surplus = [one for one in read.operations if one.op not in offered]
    return taken, tuple(
        Refusal(proposed=one.model_dump(mode="json"), reason=f"{one.op.value} {reason}") for one in surplus
    )
