"""SAAR as one plain function over lists of token ids (design rule 5). Slow, complete, and only for tests.

It shares nothing with the machine but the configuration, the similarity of two programs and the importance of a turn,
and covers every policy on one call per turn with basis `code` and no turn limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cleartrace.purify.config import SaarConfig
from cleartrace.purify.gate import importance
from cleartrace.purify.similarity import normalise_code, similarity

Answer = tuple[list[int], list[int], str]
"""One scripted generation: reasoning ids, call ids (empty: no call), code. Nothing at all: the engine failed."""

LogProbs = Callable[[list[int], list[int]], list[float]]
"""(context ids, token ids) to one log-prob per token."""


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
    shown: LogProbs,
    clean: LogProbs,
) -> Trace:
    """Run one trajectory until a turn without a call.

    Args:
        generate: prompt ids to one answer.
        run: code to None (success) or an error class.
        encode: (error class, hint) to the ids of the tool message.
        shown: log-probs the sampler reports.
        clean: log-probs a scoring request returns.
    """
    trace = Trace()
    trace.keep(prompt, 0)
    enabled, total, streak = config.enable, 0, 0
    outer = config.policy.value
    tolerate = config.tolerate if outer == "tolerate_first" else 0
    policy = config.inner_policy.value if outer == "tolerate_first" else outer
    gated = policy == "importance"
    if gated:
        policy = config.inner_policy.value if outer == "importance" else "replace"
    following: Answer | None = None

    def ask(context: list[int]) -> Answer:
        trace.prompts.append(context)
        return generate(context)

    while True:
        thought, call, code = following or ask(list(trace.ids))
        following = None
        if not call:
            trace.keep(thought, 1)
            return trace
        failed: list[tuple[list[int], str, str]] = []  # (turn, code, error)
        retries, end, answer = 0, "", []
        while (error := run(code)) is not None:
            failed.append((thought + call, code, error))
            left = response_length - (len(trace.ids) - len(prompt)) - len(thought + call) - len(encode(error, None))
            left -= len(encode(error, None)) if gated else 0
            limit = config.error_policy.get(error, config.max_retries)
            if not enabled or retries >= limit or total >= config.max_total_retries:
                end = "exhausted" if retries else "keep"
            elif outer == "append" or (not retries and streak < tolerate):
                end = "stay"
            elif left < config.min_budget_tokens:
                end = "budget"
            if end:
                break
            trace.decisions.append("regenerate")
            retries, total = retries + 1, total + 1
            seen = failed if config.retry_context == "all" else failed[-1:]
            context = trace.ids + [t for turn, _, cls in seen for t in turn + encode(cls, None)]
            new_thought, new_call, new_code = ask(context)
            if not new_call:
                end, answer = ("no_call", new_thought) if new_thought else ("aborted", [])
                break
            old_code = failed[0 if config.compare_to == "first" else -1][1]
            pair = normalise_code(old_code), normalise_code(new_code)
            alike = similarity(*pair, autojunk=config.autojunk, symmetric=config.symmetric).value
            graft = policy == "similarity" and alike >= config.similarity_threshold
            if gated:
                before, tokens = (thought, new_call) if graft else ([], new_thought + new_call)
                sampled = shown(context + (new_thought if graft else []), tokens)
                if importance(clean(trace.ids + before, tokens), sampled, config) < config.gate_threshold:
                    end, following = "append", (new_thought, new_call, new_code)
                    break
            thought, call, code = (thought if graft else new_thought), new_call, new_code
            trace.decisions.append("graft" if graft else "replace")
        trace.decisions.append({"": "keep", "stay": "keep"}.get(end, end))
        masked = "none"
        if error:
            by_policy = end in ("stay", "append")
            masked = (
                (config.mask_failed if by_policy else config.exhausted_mask).value if by_policy or retries else "none"
            )
        trace.keep(thought, int(masked != "turn"))
        trace.keep(call, int(masked == "none"))
        streak = streak + 1 if error else 0
        hint = None
        if end == "exhausted" and retries >= config.hint_after:
            hint = config.hint(tuple(cls for _, _, cls in failed))
        trace.keep(encode(error, hint), 0)
        if end in ("exhausted", "no_call") and config.on_exhaustion == "trajectory":
            enabled = False
        if answer:
            trace.keep(answer, 1)
            return trace
