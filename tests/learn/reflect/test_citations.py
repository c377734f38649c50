"""Credit from citations, without a model."""

import asyncio

from cleartrace.learn.protocol import Signal, Tag
from cleartrace.learn.reflect import CitationReflector
from tests.learn.samples import PLAYBOOK, run, task


def tags(*episodes, probe=None):
    one = Signal(task=task(), episodes=episodes, probe=probe)
    (found,) = asyncio.run(CitationReflector().reflect([one], PLAYBOOK, 0))
    return {verdict.entry_id: verdict.tag for verdict in found.verdicts}


def test_cited_and_right_is_helpful_cited_and_wrong_is_harmful_both_is_neutral():
    assert tags(run(score=1.0, cites=("e1",)), run(score=0.2, cites=("e2",))) == {"e1": Tag.HELPFUL, "e2": Tag.HARMFUL}
    assert tags(run(score=1.0, cites=("e1",)), run(score=0.0, cites=("e1",))) == {"e1": Tag.NEUTRAL}


def test_the_probe_counts_and_an_unknown_entry_does_not():
    assert tags(run(score=0.0), probe=run(score=0.0, probe="full", cites=("e2", "e7"))) == {"e2": Tag.HARMFUL}
