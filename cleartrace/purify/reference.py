"""SAAR as one plain function over lists of token ids (design rule 5). Slow, complete, and only for tests.

It shares nothing with the machine but the configuration and the similarity of two programs, and covers the
policy `similarity` on one call per turn with basis `code` and no turn limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cleartrace.purify.config import SaarConfig
from cleartrace.purify.similarity import normalise_code, similarity

Answer = tuple[list[int], list[int], str]
"""One scripted generation: reasoning ids, call ids (empty: no call), code. Nothing at all: the engine failed."""


@dataclass
class Trace:
    """What happened: prompts in order of request, decisions, and the final ids with their loss mask."""

    prompts: list[list[int]] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)

    def keep(self, ids: list[int], loss: int) -> None:
        self.ids += ids
        self.mask += [loss] * len(ids)


def saar_reference(
    prompt: list[int],
    generate: Callable[[list[int]], Answer],
    run: Callable[[str], str | None],
    encode: Callable[[str | None, str | None], list[int]],
    config: SaarConfig,
    response_length: int,
) -> Trace:
    """Run one trajectory until a turn without a call.

    Args:
        generate: prompt ids to one answer.
        run: code to None (success) or an error class.
        encode: (error class, hint) to the ids of the tool message.
    """
    trace = Trace()
    trace.keep(prompt, 0)
    enabled, total = config.enable, 0

    def ask(context: list[int]) -> Answer:
        trace.prompts.append(context)
        return generate(context)

    while True:
        thought, call, code = ask(list(trace.ids))
        if not call:
            trace.keep(thought, 1)
            return trace
        failed: list[tuple[list[int], str, str]] = []  # (turn, code, error)
        retries, end, answer = 0, "", []
        while (error := run(code)) is not None:
            failed.append((thought + call, code, error))
            left = response_length - (len(trace.ids) - len(prompt)) - len(thought + call) - len(encode(error, None))
            limit = config.error_policy.get(error, config.max_retries)
            if not enabled or retries >= limit or total >= config.max_total_retries:
                end = "exhausted" if retries else "keep"
            elif left < config.min_budget_tokens:
                end = "budget"
            if end:
                break
            trace.decisions.append("regenerate")
            retries, total = retries + 1, total + 1
            shown = failed if config.retry_context == "all" else failed[-1:]
            context = trace.ids + [t for turn, _, cls in shown for t in turn + encode(cls, None)]
            new_thought, new_call, new_code = ask(context)
            if not new_call:
                end, answer = ("no_call", new_thought) if new_thought else ("aborted", [])
                break
            old_code = failed[0 if config.compare_to == "first" else -1][1]
            pair = normalise_code(old_code), normalise_code(new_code)
            graft = similarity(*pair, autojunk=config.autojunk, symmetric=config.symmetric).value
            if graft < config.similarity_threshold:
                thought = new_thought
            call, code = new_call, new_code
            trace.decisions.append("graft" if graft >= config.similarity_threshold else "replace")
        trace.decisions.append(end or "keep")
        masked = config.exhausted_mask.value if error and retries else "none"
        trace.keep(thought, int(masked != "turn"))
        trace.keep(call, int(masked == "none"))
        hint = None
        if end == "exhausted" and retries >= config.hint_after:
            hint = config.hint(tuple(cls for _, _, cls in failed))
        trace.keep(encode(error, hint), 0)
        if end in ("exhausted", "no_call") and config.on_exhaustion == "trajectory":
            enabled = False
        if answer:
            trace.keep(answer, 1)
            return trace
