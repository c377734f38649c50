"""The context pass on veRL's real FSDP2 engine, with the shipped policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cleartrace.losses.context_options import ContextConfig, LogitsPath, OrderPolicy
from cleartrace.pairs.files import read_pairs, write_pairs
from cleartrace.pairs.order import rows_of
from cleartrace.pairs.record import Order
from cleartrace_verl.context.checks import ContextRefused, context_config
from cleartrace_verl.context.passes import ContextPass
from cleartrace_verl.context.setup import build_pass, describe
from cleartrace_verl.context.worker import ContextActorRolloutRefWorker, Score
from cleartrace_verl.one_process import actor_of, open_group, policy_pass, update
from cleartrace_verl.workers import CpuActorRolloutRefWorker
from tests.verl.context.support import config_for, short_rollouts

PATHS = (LogitsPath.LM_HEAD, LogitsPath.PROCESSOR, LogitsPath.PAIR)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    open_group()
    return config_for(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def actor(config):
    return actor_of(config, ContextActorRolloutRefWorker)


def a_pass(actor, config, *, packed=True, max_tokens=4096, **options) -> ContextPass:
    """A pass over the same engine with other options."""
    chosen = ContextConfig(**{**context_config(config.actor_rollout_ref).model_dump(), **options})
    built = build_pass(chosen, actor)
    settings = replace(built._settings, packed=packed, max_tokens=max_tokens)
    built._settings = built._source._settings = settings
    return built


def gradient(actor, *runs) -> torch.Tensor:
    """The gradient that `runs` leave, as one vector."""
    with actor.engine.train_mode(disable_auto_offload=True):
        actor.engine.optimizer_zero_grad()
        for run in runs:
            run()
        found = [p.grad for p in actor.engine.module.parameters()]
        return torch.cat([getattr(g, "full_tensor", lambda g=g: g)().flatten().clone() for g in found if g is not None])


def test_every_path_gives_the_margins_of_the_model(actor, config):
    """Packed and padded, all three paths: the same margins as a plain forward, the same gradient (W8)."""
    reference = a_pass(actor, config)
    batch = reference._source.batch(0)
    model, expected = actor.engine.module, []
    encoder = reference._source._encoder
    for pair, order in zip(*_drawn(reference), strict=True):
        row = encoder.encode(pair, order)
        with torch.no_grad(), actor.engine.train_mode(disable_auto_offload=True):
            logits = model(input_ids=torch.tensor([row.input_ids]), use_cache=False).logits[0, -1].float()
        difference = (logits[row.first_ids[0]] - logits[row.second_ids[0]]).item()
        expected.append(difference if row.correct_first else -difference)
    assert len(batch) == len(expected) == 4
    found = {}
    for path in PATHS:
        for packed in (True, False):
            one = a_pass(actor, config, logits_path=path, packed=packed)
            found[path, packed] = gradient(actor, lambda one=one: one.run(0)), one.metrics
    baseline, _ = found[LogitsPath.LM_HEAD, True]
    assert baseline.norm() > 1e-3
    for key, (vector, metrics) in found.items():
        assert metrics["margin_mean"] == pytest.approx(sum(expected) / 4, abs=2e-5), key
        torch.testing.assert_close(vector, baseline, atol=2e-6, rtol=1e-4)
    assert found[LogitsPath.PAIR, True][1]["ab_mass"] == pytest.approx(
        found[LogitsPath.LM_HEAD, True][1]["ab_mass"], rel=1e-3
    )
    assert "ab_mass" not in found[LogitsPath.PROCESSOR, True][1]


def _drawn(one: ContextPass):
    source = one._source
    rows = list(rows_of(source._config.order, source._train, source._stream.batch(0), source._config.seed))
    return [pair for pair, _ in rows], [order for _, order in rows]


def test_only_answer_rows_meet_the_head(actor, config):
    """W7: the head sees one hidden state per row."""
    seen = []
    head = actor.engine.module.get_output_embeddings()
    handle = head.register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    try:
        one = a_pass(actor, config)
        gradient(actor, lambda: one.run(0))
        gradient(actor, lambda: policy_pass(actor, short_rollouts(4)))
    finally:
        handle.remove()
    assert seen[0][:2] == (1, 4)
    assert seen[1][:2] == (
        1,
        int(short_rollouts(4)["input_ids"].values().numel()),
    )  # and rows of the policy all of theirs


def test_a_failing_forward_leaves_nothing_behind(actor, config, monkeypatch):
    one = a_pass(actor, config)

    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(actor.engine.module, "forward", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            gradient(actor, lambda: one.run(0))
    expected = gradient(actor, lambda: policy_pass(actor, short_rollouts(4)))
    assert expected.norm() > 0 and actor.engine._answer_places is None


def test_the_cut_into_micro_batches_does_not_matter(actor, config):
    """W10: one, two and four micro-batches of the same pairs have one gradient."""
    vectors = []
    for tokens in (4096, 450, 200):
        one = a_pass(actor, config, max_tokens=tokens)
        calls = []
        step = actor.engine.forward_step
        actor.engine.forward_step = lambda *args, calls=calls, step=step, **kwargs: (
            calls.append(1),
            step(*args, **kwargs),
        )[1]
        try:
            vectors.append((len(calls), gradient(actor, lambda one=one: one.run(0)), len(calls)))
        finally:
            del actor.engine.forward_step
    assert [after for _, _, after in vectors] == [1, 2, 4]
    for _, vector, _ in vectors[1:]:
        torch.testing.assert_close(vector, vectors[0][1], atol=1e-6, rtol=1e-4)


def test_both_passes_add_up(actor, config):
    one, rows = a_pass(actor, config), short_rollouts(4)
    policy = gradient(actor, lambda: policy_pass(actor, rows))
    pairs = gradient(actor, lambda: one.run(3))
    both = gradient(actor, lambda: policy_pass(actor, rows), lambda: one.run(3))
    assert policy.norm() > 0 and pairs.norm() > 0
    torch.testing.assert_close(both, policy + pairs, atol=1e-6, rtol=1e-5)


def test_the_norm_that_is_clipped_is_that_of_the_sum(config):
    """Clipping and the reported norm see one gradient, as in both published forks."""
    actor = actor_of(config, ContextActorRolloutRefWorker)
    one, rows = a_pass(actor, config), short_rollouts(4)
    expected = gradient(actor, lambda: policy_pass(actor, rows), lambda: one.run(0)).double().norm().item()
    alone = gradient(actor, lambda: policy_pass(actor, rows)).double().norm().item()
    found = update(actor, rows, 4, context_step=0, context_score=Score.NEVER.value)["grad_norm"]
    assert found == pytest.approx([expected], rel=1e-5) and abs(expected / alone - 1) > 1e-4


def test_weight_zero_is_bit_identical_to_the_plain_worker(tmp_path):
    open_group()
    config = config_for(tmp_path, coef=0.0)
    weights = []
    for worker, extra in (
        (CpuActorRolloutRefWorker, {}),
        (ContextActorRolloutRefWorker, {"context_step": 0, "context_score": Score.BOTH.value}),
    ):
        actor = actor_of(config, worker)
        update(actor, short_rollouts(8), 4, **extra)
        weights.append([p.full_tensor().clone() for p in actor.engine.module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_the_gradient_ratio_is_exact_and_its_limit_holds(actor, config):
    rows = short_rollouts(4)
    policy = gradient(actor, lambda: policy_pass(actor, rows))
    plain = a_pass(actor, config)
    pairs = gradient(actor, lambda: plain.run(0))
    ratio = (pairs.double().norm() / policy.double().norm()).item()
    measured = a_pass(actor, config, grad_ratio_every=1)
    both = gradient(actor, lambda: policy_pass(actor, rows), lambda: measured.run(0))
    assert measured.metrics["grad_ratio"] == pytest.approx(ratio, rel=1e-6)
    torch.testing.assert_close(both, policy + pairs, atol=1e-6, rtol=1e-5)
    limited = a_pass(actor, config, max_grad_ratio=ratio / 4)
    both = gradient(actor, lambda: policy_pass(actor, rows), lambda: limited.run(0))
    assert limited.metrics["grad_scale"] == pytest.approx(0.25, rel=1e-4)
    torch.testing.assert_close(both, policy + pairs / 4, atol=1e-5, rtol=1e-4)


def test_no_policy_gradient_no_context_step(actor, config):
    """Spec 3.5: Adam would make a full-size step of the pairs alone."""

    def silent():
        policy_pass(actor, short_rollouts(4, advantage=0.0))

    careful = a_pass(actor, config, skip_when_rl_zero=True)
    assert gradient(actor, silent, lambda: careful.run(0)).norm() == 0
    assert careful.metrics["skipped"] == 1 and "loss" not in careful.metrics
    assert gradient(actor, silent, lambda: a_pass(actor, config).run(0)).norm() > 0


def test_averaged_orders_stay_in_one_micro_batch(actor, config):
    whole = a_pass(actor, config, order=OrderPolicy.BOTH, debias=True)
    cut = a_pass(actor, config, order=OrderPolicy.BOTH, debias=True, max_tokens=400)
    vectors = [gradient(actor, lambda one=one: one.run(0)) for one in (whole, cut)]
    torch.testing.assert_close(*vectors, atol=1e-6, rtol=1e-4)
    assert whole.metrics["rows"] == 8
    assert whole.metrics["loss"] == pytest.approx(cut.metrics["loss"], rel=1e-5)


def test_pairs_come_only_on_every_nth_step(actor, config):
    one = a_pass(actor, config, every_n_steps=2)
    norms = [
        gradient(actor, lambda: policy_pass(actor, short_rollouts(4)), lambda step=step: one.run(step))
        for step in (0, 1)
    ]
    assert one.metrics == {}
    torch.testing.assert_close(norms[1], gradient(actor, lambda: policy_pass(actor, short_rollouts(4))), atol=0, rtol=0)


def test_held_out_pairs_are_scored_as_the_model_answers_them(actor, config):
    """W16, and the numbers are those of a plain loop over pairs and orders."""
    one = a_pass(actor, config)
    found = one.score_held_out()
    encoder, right, agree = one._source._encoder, 0, 0
    pairs = read_pairs(list(config.actor_rollout_ref.context_rl.val_files))
    for pair in pairs:
        answers = []
        for order in Order:
            row = encoder.encode(pair, order)
            with torch.no_grad(), actor.engine.eval_mode(disable_auto_offload=True):
                ids = torch.tensor([row.input_ids])
                logits = actor.engine.module(input_ids=ids, use_cache=False).logits[0, -1]
            answers.append(bool((logits[row.first_ids[0]] > logits[row.second_ids[0]]).item() == row.correct_first))
        right, agree = right + sum(answers), agree + (answers[0] == answers[1])
    assert found["val_pairs"] == len(pairs) == 8
    assert found["val_acc"] == pytest.approx(right / 16) and found["val_order_consistency"] == pytest.approx(agree / 8)


def test_an_update_reports_what_the_pairs_did(actor):
    """T4 to T7: plain floats, names without "max" or "min", and the next update goes on in the stream."""
    first = update(actor, short_rollouts(8), 4, context_step=0, context_score=Score.BOTH.value)
    assert len(first["ca/loss"]) == 2 and all(isinstance(value, float) for value in first["ca/loss"])
    assert first["ca/start/val_pairs"] == first["ca/val_pairs"] == 8
    assert not any("max" in key or "min" in key for key in first if key.startswith("ca/"))
    later = update(actor, short_rollouts(8), 4, context_step=20, context_score=Score.NEVER.value)
    assert later["ca/epoch"] == [5, 5] and "ca/val_acc" not in later


def test_updates_follow_the_gradient(tmp_path):
    """Pairs that the first letter always answers are learned in a few steps by the pairs alone."""
    open_group()
    config = config_for(tmp_path, coef=1.0, batch_size=4, order=OrderPolicy.FIXED.value)
    file = Path(config.actor_rollout_ref.context_rl.train_files[0])
    write_pairs(file, [pair.model_copy(update={"order": Order.SUPPORTING_FIRST}) for pair in read_pairs(file)])
    actor = actor_of(config, ContextActorRolloutRefWorker)
    rows = short_rollouts(4, advantage=0.0)
    losses = [update(actor, rows, 4, context_step=k, context_score="never")["ca/loss"][0] for k in range(8)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_run_says_how_prompts_end_and_which_tokens_the_letters_are(actor):
    context = actor._context
    source = context._source
    said = describe(source._encoder, source._settings, train=16, dropped=2, held_out=8)
    assert "16 pairs, 2 too long and dropped, 8 held out" in said and "path lm_head" in said
    assert "assistant" in said and str(list(source._encoder.options.first_ids)) in said


def test_many_passes_over_the_pairs_are_said_once(actor, config, caplog):
    one = a_pass(actor, config)
    for step in (0, 20, 21):
        gradient(actor, lambda step=step: one.run(step))
    assert [record.message.startswith("Each pair has been seen 5 times") for record in caplog.records] == [True]


def test_pairs_without_an_order_are_refused_before_the_first_step(actor, config):
    with pytest.raises(ContextRefused, match="order=fixed .* 16 have none"):
        a_pass(actor, config, order=OrderPolicy.FIXED)
