"""Segments, flattening and the token-truth audit, mostly as properties."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.trajectory.audit import AuditError, EngineRequest, ViolationKind, audit, require_clean
from cleartrace.trajectory.flatten import context_hash, flatten, flatten_ids
from cleartrace.trajectory.segment import Provenance, Segment, SegmentKind, context_segment, count_turns

tokens = st.lists(st.integers(0, 50), min_size=1, max_size=6).map(tuple)


@st.composite
def rollouts(draw):
    """(requests, segments) of an honest rollout without splices."""
    with_logprobs = draw(st.booleans())
    segments = [context_segment(SegmentKind.PROMPT, draw(tokens))]
    requests = []
    for _ in range(draw(st.integers(1, 4))):
        prompt = flatten_ids(segments)
        thought, call = draw(tokens), draw(tokens)
        values = tuple(-(i + 1) / 8 for i in range(len(thought + call)))
        requests.append(EngineRequest(prompt, thought + call, values if with_logprobs else None))
        parts = ((SegmentKind.ASSISTANT_REASONING, thought, 0), (SegmentKind.ASSISTANT_CALL, call, len(thought)))
        for kind, ids, start in parts:
            logprobs = values[start : start + len(ids)] if with_logprobs else None
            where = Provenance(context_hash=context_hash(flatten_ids(segments)))
            segments.append(Segment(kind, ids, True, logprobs, where))
        segments.append(context_segment(SegmentKind.TOOL, draw(tokens)))
    return requests, segments


@given(rollouts())
def test_flattening_keeps_every_token_its_mask_and_its_logprob(rollout):
    requests, segments = rollout
    flat = flatten(segments)
    assert flat.prompt_ids + flat.response_ids == flatten_ids(segments)
    assert sum(flat.response_mask) == sum(len(r.sampled_ids) for r in requests)
    assert sum(flat.spliced_mask) == 0
    response = [s for s in segments if s.kind is not SegmentKind.PROMPT]
    rest = flat.response_ids
    for segment in response:
        assert rest[: len(segment)] == segment.token_ids
        rest = rest[len(segment) :]
    assert rest == ()
    assert flat.response_mask == tuple(int(s.loss) for s in response for _ in s.token_ids)
    if flat.response_logprobs is not None:
        assert len(flat.response_logprobs) == len(flat.response_ids)
        assert [v for v, m in zip(flat.response_logprobs, flat.response_mask, strict=True) if m] == [
            value for s in response for value in s.logprobs or ()
        ]
    assert count_turns(segments) == (len(requests), len(requests))


@given(rollouts())
def test_honest_rollout_passes_and_prefixes_extend(rollout):
    requests, segments = rollout
    assert audit(requests, segments) == []
    for before, after in zip(requests, requests[1:], strict=False):
        assert after.prompt_ids[: len(before.prompt_ids + before.sampled_ids)] == before.prompt_ids + before.sampled_ids


@given(rollouts(), st.data())
def test_any_corrupted_token_is_detected(rollout, data):
    requests, segments = rollout
    i = data.draw(st.integers(0, len(segments) - 2))  # tokens behind the last request are not the engine's
    at = data.draw(st.integers(0, len(segments[i]) - 1))
    ids = list(segments[i].token_ids)
    ids[at] += 1
    segments[i] = replace(segments[i], token_ids=tuple(ids))
    violations = audit(requests, segments)
    assert violations
    with pytest.raises(AuditError, match="violation"):
        require_clean(violations)


@given(rollouts(), st.data())
def test_token_changed_before_a_sampled_segment_makes_it_spliced(rollout, data):
    _, segments = rollout
    segments[0] = replace(segments[0], token_ids=(99, *segments[0].token_ids))
    flat = flatten(segments)
    assert flat.spliced_mask == flat.response_mask


def test_all_or_none_logprobs():
    where = Provenance(context_hash=context_hash([1]))
    segments = [
        context_segment(SegmentKind.PROMPT, [1]),
        Segment(SegmentKind.ASSISTANT_REASONING, (2,), True, (-1.0,), where),
        Segment(SegmentKind.ASSISTANT_CALL, (3,), True, None, Provenance(context_hash=context_hash([1, 2]))),
    ]
    found = audit([EngineRequest((1,), (2, 3))], segments)
    assert ViolationKind.LOGPROBS in {v.kind for v in found}
    with pytest.raises(ValueError, match="all or none"):
        flatten(segments)


def test_logprobs_other_than_the_engines_are_detected():
    where = Provenance(context_hash=context_hash([1]))
    segments = [
        context_segment(SegmentKind.PROMPT, [1]),
        Segment(SegmentKind.ASSISTANT_CALL, (2,), True, (0.0,), where),
    ]
    found = audit([EngineRequest((1,), (2,), (-1.0,))], segments)
    assert [v.kind for v in found] == [ViolationKind.LOGPROBS]


def test_two_attempts_at_the_same_tokens_may_differ_in_their_logprobs():
    """Batching changes the last bits, and either attempt may be the one that stays."""
    prompt = context_segment(SegmentKind.PROMPT, [1])
    where = Provenance(context_hash=context_hash([1]))
    requests = [EngineRequest((1,), (2,), (-1.0,)), EngineRequest((1,), (2,), (-1.0000001,))]
    for logprobs, wrong in ((requests[0].logprobs, False), (requests[1].logprobs, False), ((-2.0,), True)):
        found = audit(requests, [prompt, Segment(SegmentKind.ASSISTANT_CALL, (2,), True, logprobs, where)])
        assert (ViolationKind.LOGPROBS in {v.kind for v in found}) is wrong


@pytest.mark.parametrize(
    ("kind", "ids", "loss", "logprobs"),
    [
        (SegmentKind.TOOL, (1,), True, None),
        (SegmentKind.TOOL, (1,), False, (-1.0,)),
        (SegmentKind.ASSISTANT_CALL, (1,), True, None),
        (SegmentKind.ASSISTANT_CALL, (1, 2), False, (-1.0,)),
        (SegmentKind.ASSISTANT_CALL, (1,), False, (float("nan"),)),
        (SegmentKind.TOOL, (), False, None),
        (SegmentKind.TOOL, (-1,), False, None),
    ],
)
def test_contradicting_segments_are_refused(kind, ids, loss, logprobs):
    with pytest.raises(ValueError):
        Segment(kind, ids, loss, logprobs)


def test_prompt_must_lead():
    with pytest.raises(ValueError, match="start with a prompt"):
        flatten([context_segment(SegmentKind.TOOL, [1])])
    prompt = context_segment(SegmentKind.PROMPT, [1])
    with pytest.raises(ValueError, match="behind the start"):
        flatten([prompt, context_segment(SegmentKind.TOOL, [1]), prompt])
