"""A judge behind any OpenAI-compatible endpoint (`cleartrace serve`, vLLM, SGLang, a hosted model)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from cleartrace.llm.http import Endpoint, EndpointUnavailable, RequestRefused
from cleartrace.pairs.mine.trajectories.judge.case import Case, JudgeError, Label, Reason, Verdict
from cleartrace.pairs.record import Message

KEY_VARIABLE = "JUDGE_API_KEY"
"""Environment variable of the endpoint's key."""

INSTRUCTIONS = """You check test items. An item has a question, a patch, and two runs of coding agents. RUN 1 is meant
to be the run the patch comes from, RUN 2 another run on the same function. Places that show a patch are hidden in both.
Say VALID when a careful reader can tell from the content that the patch fits RUN 1 and not RUN 2, and nothing gives it
away without reading. Otherwise say INVALID, or UNCERTAIN when you cannot tell, with one of these reasons:
length_disparity: one run is much longer.
formatting_difference: the runs are written in different formats.
patch_token_leakage: words or code of the patch stand in one run only.
masking_inconsistency: one run has more hidden places, or a place was missed.
ambiguous_label: the patch fits both runs.
not_decisive: RUN 1 does not hold what is needed to decide.
Answer with one JSON object: {"label": "VALID|INVALID|UNCERTAIN", "reason": null or a reason, "note": "one sentence"}"""


def _run(messages: tuple[Message, ...]) -> str:
    return "\n\n".join(f"[{'agent' if m.role == 'assistant' else 'environment'}]\n{m.content}" for m in messages)


def prompt(case: Case) -> list[dict[str, str]]:
    body = (
        f"QUESTION\n{case.question}\n\nPATCH\n{case.answer}\n\n"
        f"RUN 1\n{_run(case.pos.messages)}\n\nRUN 2\n{_run(case.neg.messages)}"
    )
    return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": body}]


def parse_reply(text: str) -> Verdict:
    """The last JSON object of the reply. A reply that cannot be read is UNCERTAIN: a person decides."""
    for found in reversed(re.findall(r"\{[^{}]*\}", text)):
        try:
            verdict = Verdict.from_json(json.loads(found))
        except (ValueError, KeyError, TypeError):
            continue
        if verdict.label is Label.VALID or verdict.reason is not None:
            return verdict
    return Verdict(Label.UNCERTAIN, Reason.AMBIGUOUS_LABEL, f"the judge's reply cannot be read: {text[:200]!r}")


@dataclass(frozen=True)
class OpenAIJudge:
    """POST `{endpoint}/chat/completions`."""

    endpoint: Endpoint
    model: str

    @property
    def name(self) -> str:
        return f"openai:{self.model}"

    def __call__(self, case: Case) -> Verdict:
        body = {"model": self.model, "messages": prompt(case), "temperature": 0.0, "max_tokens": 1024}
        try:
            reply, _ = self.endpoint.send("POST", "/chat/completions", body)
        except (EndpointUnavailable, RequestRefused) as error:
            raise JudgeError(f"no verdict: {error}; mend it and run the same command again to go on") from None
        try:
            return parse_reply(reply["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise JudgeError(f"{self.endpoint.url}: not the answer of a chat completion: {str(reply)[:200]}") from None
