"""Citations as agents write them."""

import pytest

from cleartrace.agents.cite import citations
from cleartrace.episodes.types import PartKind, PartRef

SHOWN = [PartRef(kind=PartKind.ENTRY, id=id, revision=n) for n, id in enumerate(["s-1", "s-2", "checks-12"], 1)]


@pytest.mark.parametrize(
    ("text", "known", "unknown"),
    [
        ("nothing", [], []),
        ("by [s-2] and then [s-1], [s-2] again", ["s-2", "s-1"], []),
        ("by [s-1, checks-12; s-9]", ["s-1", "checks-12"], ["s-9"]),
        ("a list[0], see [1], [note], [2024-01-02], [a-b]", [], []),
        ("<playbook_cite>s-1, s-2</playbook_cite>", ["s-1", "s-2"], []),
        ("<playbook_cite>[s-1] because entry 7x</playbook_cite>", ["s-1"], ["7x"]),
        ('<playbook_cite id="s-2"/> then [s-1]', ["s-2", "s-1"], []),
        ("<playbook_cite>none</playbook_cite>", [], []),
        ("<playbook_cite>s-1", ["s-1"], []),
        ("playbook_cite: s-1, s-5.\nNext", ["s-1"], ["s-5"]),
    ],
)
def test_citations_are_found_in_their_forms(text, known, unknown):
    found = citations([text], SHOWN)
    assert [part.id for part in found.known] == known
    assert list(found.unknown) == unknown


def test_r5_the_revision_is_the_one_that_was_shown():
    assert citations(["[checks-12]", "[checks-12]"], SHOWN).known == (SHOWN[2],)
    assert citations(["[s-1]"], []).unknown == ("s-1",)
