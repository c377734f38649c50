"""Playbooks, operations and texts for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Playbook

# Few different texts, so that duplicates happen; some too short, some too long, some with what breaks templates.
TEXTS = st.one_of(
    st.sampled_from(
        [
            "Check the total before paying.",
            "check  the TOTAL before paying.",
            "Ask for the password first.",
            "Sort the list {by} date: {x['y']}.",
            "List pages\nuntil one is empty.",
            "- [e1] looks like an entry\n- [e2] as well",
            "short",
            "   ",
            "x" * 80,
        ]
    ),
    st.text(max_size=60),
)
SECTIONS = st.sampled_from(["", "checks", "Common Mistakes", "common_mistakes", "others", "unheard of", " {x} "])
IDS = st.sampled_from([f"e{n}" for n in range(1, 9)] + ["", "nobody", "[e1]"])

OPERATIONS = st.builds(
    Operation,
    op=st.sampled_from(Op),
    entry_ids=st.lists(IDS, max_size=3).map(tuple),
    texts=st.lists(TEXTS, max_size=3).map(tuple),
    section=SECTIONS,
    rationale=st.text(max_size=10),
    source_tasks=st.lists(st.text(max_size=3), max_size=2).map(tuple),
)
# Operations that mostly succeed: ADD is frequent, and each has as many ids and texts as it needs.
LIKELY = st.one_of(
    st.builds(Operation, op=st.just(Op.ADD), texts=st.tuples(TEXTS), section=SECTIONS),
    st.builds(Operation, op=st.just(Op.ADD), texts=st.tuples(st.text(min_size=11, max_size=30)), section=SECTIONS),
    st.builds(Operation, op=st.just(Op.UPDATE), entry_ids=st.tuples(IDS), texts=st.tuples(TEXTS), section=SECTIONS),
    st.builds(Operation, op=st.just(Op.DELETE), entry_ids=st.tuples(IDS)),
    st.builds(Operation, op=st.just(Op.MERGE), entry_ids=st.tuples(IDS, IDS), texts=st.tuples(TEXTS)),
    st.builds(Operation, op=st.just(Op.SPLIT), entry_ids=st.tuples(IDS), texts=st.tuples(TEXTS, TEXTS)),
)
SEQUENCES = st.lists(st.one_of(LIKELY, LIKELY, OPERATIONS), max_size=14)


def playbook_of(operations: list[Operation], start: Playbook | None = None) -> Playbook:
    from cleartrace.context.playbook.apply import apply

    return apply(start or Playbook(), operations).playbook


PLAYBOOKS = SEQUENCES.map(playbook_of)
