"""A scripted engine, tool and consumer loop for the SAAR machine."""

import traceback
from dataclasses import dataclass, field

import pytest

from cleartrace.purify import (
    Adopt,
    Append,
    Effort,
    GiveUp,
    Keep,
    Limits,
    Regenerate,
    SaarConfig,
    Score,
    finish,
    on_executed,
    on_regenerated,
    on_scored,
    sampled_turn,
    start,
    token_budget,
)
from cleartrace.purify.decision import GiveUpReason
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace.trajectory.audit import EngineRequest, Rewrite
from cleartrace.trajectory.flatten import flatten, flatten_ids
from cleartrace.trajectory.segment import SegmentKind, context_segment

PROMPT = [1, 2, 3]
RESPONSE_LENGTH = 4000
ERRORS = {"ok": None, "name": "NameError", "type": "TypeError", "timeout": "timeout", "infra": "infra_error"}
STATUS = {"timeout": ToolStatus.TIMEOUT, "infra_error": ToolStatus.INFRA_ERROR, "format_error": ToolStatus.FORMAT_ERROR}


def run_code(code):
    """The scripted tool: the first word of a program's first comment says how it ends."""
    return ERRORS[code.split()[1]]


def result_of(code):
    error = run_code(code)
    if error is None:
        return ToolResult(ToolStatus.OK, stdout="1")
    return ToolResult(STATUS.get(error, ToolStatus.PROGRAM_ERROR), error_class=error)


def shown_logprobs(context, tokens):
    """What the scripted sampler reports: it depends on the length of the context."""
    return [-(len(context) + i) / 1000 for i in range(len(tokens))]


def clean_logprobs(context, tokens):
    """What a scoring request returns: a turn whose call has an odd id is far less likely than where it was sampled."""
    return [value - 2 * (tokens[-2] % 2) for value in shown_logprobs(context, tokens)]


def encode(error, hint):
    return [900, *(ord(c) for c in (error or "ok")), *(ord(c) for c in hint or ""), 901]


@dataclass
class Run:
    prompts: list = field(default_factory=list)
    decisions: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    rewrites: list = field(default_factory=list)
    segments: list = field(default_factory=list)
    counters: object = None
    state: object = None
    messages: int = 1
    depths: list = field(default_factory=list)

    @property
    def flat(self):
        return flatten(self.segments)


def drive(script, config=None, *, logprobs=True, response_length=RESPONSE_LENGTH, max_turns=10**6, scores=True, **who):
    """The consumer loop over a script of (reasoning ids, call ids, code); an empty script answers at once."""
    config = config or SaarConfig(enable=True)
    who = {"sample_id": "s", "step": 0, "rollout": 0, **who}
    run, state, answers = Run(), start(config, **who), iter(script)
    segments = [context_segment(SegmentKind.PROMPT, PROMPT)]

    def ask(shown, position, attempt):
        context = flatten_ids(shown)
        thought, call, code = next(answers, ([7], [], ""))
        ids = [*thought, *call]
        run.prompts.append(list(context))
        values = tuple(shown_logprobs(context, ids)) if logprobs else None
        run.requests.append(EngineRequest(context, tuple(ids), values))
        boundary = len(thought) if call else None
        if not ids:
            return None
        return sampled_turn(context, ids, values, boundary, position=position, attempt=attempt, code=code)

    def tool(results, hint=None):
        error = next((r.error_class for r in results if not r.ok), None)
        return context_segment(SegmentKind.TOOL, encode(error, hint))

    position, following = 0, None
    while position < max_turns:
        turn, following = following or ask(segments, position, 0), None
        run.messages += 1
        if turn is None or not turn.has_call:
            segments += turn.segments if turn else ()
            break
        first_request = len(run.requests)
        while True:
            run.depths.append(len(list(traceback.walk_stack(None))))
            results = (result_of(turn.code),)
            here = [*segments, *turn.segments, tool(results)]
            used = (
                len(flatten_ids(here))
                - len(PROMPT)
                + (len(tool(results)) if state.config.splices_by == "importance" else 0)
            )
            budget = token_budget(
                response_length=response_length,
                response_used=used,
                context_length=10**6,
                prompt_tokens=used + len(PROMPT),
            )
            last = position + 1 >= max_turns
            state, decision = on_executed(state, turn, results, Limits(budget, last_turn=last))
            if isinstance(decision, Regenerate):
                run.decisions.append("regenerate")
                if decision.attempt > 1:
                    base = [*segments, *decision.attempts[0].turn.segments]
                    run.rewrites.append(Rewrite.to(len(run.requests) - 1, base))
                shown = [*segments, *(s for a in decision.attempts for s in (*a.turn.segments, tool(a.results)))]
                again = ask(shown, decision.position, decision.attempt)
                state, decision = on_regenerated(state, again)
            if isinstance(decision, Score):
                context = flatten_ids([*segments, *decision.prefix])
                tokens = flatten_ids(decision.candidate)
                state, decision = on_scored(state, clean_logprobs(context, tokens) if scores else None)
            if isinstance(decision, Adopt):
                run.decisions.append(decision.splice.kind.value)
                turn = decision.turn
                continue
            break
        segments = [*segments, *decision.turn.segments]
        if len(run.requests) > first_request and not isinstance(decision, Append):
            run.rewrites.append(Rewrite.to(len(run.requests) - 1, segments))
        hint = decision.hint if isinstance(decision, GiveUp) else None
        segments = [*segments, tool(decision.results, hint)]
        run.messages += 1
        if isinstance(decision, Append):
            run.decisions.append("append")
            following = decision.answer
        else:
            run.decisions.append("keep" if isinstance(decision, Keep) else decision.reason.value)
        if isinstance(decision, GiveUp) and decision.reason is GiveUpReason.NO_CALL:
            segments = [*segments, *decision.answer.segments]
            run.messages += 1
            break
        position += 1
    run.segments, run.state = segments, state
    effort = Effort(generated_tokens=sum(len(r.sampled_ids) for r in run.requests))
    run.counters = finish(state, segments, flatten(segments), effort)
    return run


@pytest.fixture(scope="session")
def saar():
    """The harness: `saar.drive(script, config)`, `saar.call(outcome, text, at)`, `saar.encode`, `saar.run_code`."""

    class Harness:
        prompt, response_length = PROMPT, RESPONSE_LENGTH

        @staticmethod
        def call(outcome, body="print(1)", at=10):
            return [at, at + 1], [500, at + 2, 501], f"# {outcome}\n{body}"

        @staticmethod
        def text(at=70):
            return [at], [], ""

    Harness.drive = staticmethod(drive)
    Harness.shown_logprobs = staticmethod(shown_logprobs)
    Harness.clean_logprobs = staticmethod(clean_logprobs)
    Harness.encode = staticmethod(encode)
    Harness.run_code = staticmethod(run_code)
    Harness.result_of = staticmethod(result_of)
    return Harness
