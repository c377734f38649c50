"""What models behind an endpoint are asked, and how their replies are read."""

from __future__ import annotations

import json
import re
from typing import Any

from cleartrace.pairs.mine.images.editing import Criterion

PROPOSE = """You plan one edit of a picture. A question about the picture has the answer given below. Choose a small,
local change of the picture that makes a different answer right, and keep everything else as it is. The new answer must
be of the same kind: a number for a number, a colour for a colour, an option for an option.
Answer with one JSON object:
{{"instruction": "what to change, in one sentence, precise about place and appearance",
 "answer": "the new answer, as short as the old one",
 "box": [left, top, right, bottom] of the region that the answer is read from, as fractions of width and height}}
If no such change exists, answer {{"instruction": null}}.

Question: {question}
Answer: {answer}"""

EDIT = "{instruction} Change nothing else: same style, same layout, same text, same colours and light everywhere else."

CRITERIA = {
    Criterion.ANSWER_CHANGES: "In picture 2 the answer to the question is NEW and no longer OLD.",
    Criterion.LOCAL: "What was changed lies in the region that the answer is read from.",
    Criterion.REST_UNCHANGED: "Everything outside that region is the same in both pictures.",
    Criterion.NO_DEFECTS: "Picture 2 has no visual defects: blur, warped or broken borders, implausible light, "
    "textures that do not fit, floating parts.",
    Criterion.NO_RESTYLING: "Picture 2 has the same overall style, colours and light as picture 1.",
}
VERIFY = """Picture 1 was edited into picture 2. Check five criteria.
{criteria}
Answer with one JSON object: {{"failed": [names of criteria that do not hold], "reason": "one sentence"}}

Question: {question}
OLD: {old}
NEW: {new}
Edit: {instruction}"""

JUDGE = """Two pictures were found by similarity. The same question was asked about both, with different answers.
Say whether they make a good test item: somebody who gets the question and ONE of the answers must be able to tell, by
looking, which picture it belongs to.
Answer with one JSON object: {{"label": "VALID", "reason": ""}} or {{"label": "INVALID", "reason": R}} with R one of
unrelated: the pictures do not show the same kind of thing.
question_does_not_apply: the question makes no sense for one of the pictures.
annotation_artefact: an answer is wrong, or the answers differ only in how they are written.
ambiguous: an answer fits both pictures.

Question: {question}
Answer for picture 1: {first}
Answer for picture 2: {second}"""


class UnreadableReply(ValueError):
    """A reply without the JSON object that was asked for."""


def verify_prompt(question: str, old: str, new: str, instruction: str) -> str:
    """The text of the verifier's request; the two pictures go beside it."""
    criteria = "\n".join(f"{criterion.value}: {text}" for criterion, text in CRITERIA.items())
    return VERIFY.format(criteria=criteria, question=question, old=old, new=new, instruction=instruction)


def last_object(reply: str) -> dict[str, Any]:
    """The last JSON object of a reply. Raises UnreadableReply."""
    for found in reversed(re.findall(r"\{[^{}]*\}", reply)):
        try:
            return json.loads(found)
        except ValueError:
            continue
    raise UnreadableReply(f"the reply has no JSON object: {reply[:200]!r}")


def failed_criteria(reply: dict[str, Any]) -> tuple[Criterion, ...]:
    """The verifier's verdict, in the order of the criteria. Raises UnreadableReply for names that are none."""
    failed = reply.get("failed")
    known = {criterion.value for criterion in Criterion}
    if not isinstance(failed, list) or not set(map(str, failed)) <= known:
        raise UnreadableReply(f"`failed` is no list of criteria: {failed!r}")
    return tuple(criterion for criterion in Criterion if criterion.value in failed)
