"""Pairs of tool calls from the agent loop to the loss, through veRL's own functions and a real TransferQueue."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.core_algos import compute_policy_loss_vanilla
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils.config import omega_conf_to_dataclass

from cleartrace.purify.config import SaarConfig
from cleartrace_verl import preflight
from cleartrace_verl.batch import nested, real_keys
from cleartrace_verl.compose import ConfigError, compose
from cleartrace_verl.preference import extra_rows
from cleartrace_verl.preference_rows import RowNote
from cleartrace_verl.preference_steps import mini_batches
from cleartrace_verl.run_files import JsonLines
from cleartrace_verl.trainer import CleartraceTrainer
from tests.end_to_end.run_process import finish, rows
from tests.verl import transfer_queue as helper
from tests.verl.rollouts import POLICY, call, config_with, roll_out_async, tokenizer

ANSWER = "Answer: \\boxed{3}"
BAD = "n = bad_NameError(1)\nprint(n)"
FIXED = "n = ok_NameError(1)\nprint(n, n)"
REPAIRED = (call(BAD), call(FIXED, "New thought.\n"), ANSWER)
PLAIN = (call("print(3)"), ANSWER)


def configuration(mode: str = "dpo", saar: dict[str, Any] | None = None, **negatives: Any) -> Any:
    config = config_with({"negatives": {"mode": mode, **negatives}, **(saar or {})}, n=4)
    OmegaConf.update(config, "actor_rollout_ref.model.path", str(POLICY))
    changes = {"data.train_batch_size": 2, "actor_rollout_ref.actor.ppo_mini_batch_size": 2}
    changes |= {"actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 4}
    changes |= {"actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 4}
    for key, value in changes.items():
        OmegaConf.update(config, key, value)
    return config


def outputs(turns: Any, config: Any, **options: Any) -> Any:
    """What the agent loop returns, a list or not."""
    return asyncio.run(roll_out_async(turns, config=config, **options)).output


# --- the agent loop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "roles"), [("dpo", ["good", "failed"]), ("corrected", ["failed"])])
def test_the_rollout_comes_last_and_is_the_one_without_pairs(mode, roles):
    *rows, main = outputs(REPAIRED, configuration(mode))
    alone = outputs(REPAIRED, configuration("off"))
    assert [RowNote.of(row.extra_fields).role for row in rows] == roles
    timed = {"saar", "trajectory"}  # hold wall times
    assert main.model_dump(exclude={"metrics", "extra_fields"}) == alone.model_dump(exclude={"metrics", "extra_fields"})
    assert {k: v for k, v in main.extra_fields.items() if k not in timed} == {
        k: v for k, v in alone.extra_fields.items() if k not in timed
    }


def test_rows_end_with_the_call_they_are_for():
    good, failed, main = outputs(REPAIRED, configuration())
    texts = {}
    for row in (good, failed):
        note = RowNote.of(row.extra_fields)
        assert note is not None and note.end == len(row.response_ids) == len(row.response_logprobs)
        texts[note.role] = tokenizer().decode(row.response_ids[note.start : note.end])
        assert tokenizer().decode(main.response_ids[note.main_start : note.main_end]) == call(FIXED, "") + "<|im_end|>"
    assert texts == {role: call(code, "") + "<|im_end|>" for role, code in (("good", FIXED), ("failed", BAD))}
    assert good.prompt_ids == failed.prompt_ids == main.prompt_ids


def test_a_row_is_inert_until_the_trainer_says_otherwise():
    for row in outputs(REPAIRED, configuration())[:-1]:
        assert set(row.response_mask) == {0} and "saar" not in row.extra_fields and row.num_turns == 0


def test_every_row_of_a_rollout_has_the_same_fields_of_the_same_types():
    """(D34) veRL takes the fields of all rows from the first one."""
    good, failed, main = (output.as_dict() for output in outputs(REPAIRED, configuration()))
    assert set(good) == set(failed) == set(main)
    assert all(value is not None for row in (good, failed) for value in row.values())
    assert [type(v) for v in good.values()] == [type(v) for v in failed.values()]


@pytest.mark.parametrize(
    ("turns", "options", "saar"),
    [
        (REPAIRED, {"rollback": "on"}, {}),
        ((call(BAD), ANSWER), {"rollback": "off"}, {}),
        ((call(BAD), call(FIXED), call("infra")), {}, {}),
        ((*REPAIRED[:2], call(BAD), call(BAD), ANSWER), {}, {"max_retries": 1, "drop_exhausted": True}),
        (PLAIN, {}, {}),
    ],
    ids=["arm_on", "arm_off", "infra", "dropped", "no_failure"],
)
def test_no_pair_leaves_an_evaluation_a_spoiled_or_a_dropped_rollout(turns, options, saar):
    """(D7)"""
    assert not isinstance(outputs(turns, configuration(saar=saar), **options), list)


# --- one step through veRL ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def queue() -> Iterator[None]:
    with helper.queue():
        yield


@dataclass
class Step:
    """A step up to the update: the batch, what was logged, and fields of its rows by key."""

    trainer: Any
    batch: KVBatchMeta
    metrics: dict[str, float]
    offered: int

    def field(self, name: str, key: str) -> Any:
        value = tq.kv_batch_get(keys=[key], partition_id="train", select_fields=[name])[name][0]
        return value.numpy() if isinstance(value, torch.Tensor) else getattr(value, "data", value)

    @property
    def extra(self) -> list[str]:
        return extra_rows(self.batch)

    def note(self, key: str) -> RowNote:
        note = RowNote.of(self.field("extra_fields", key))
        assert note is not None
        return note

    def rollout_of(self, key: str) -> str:
        return f"{key.rpartition('_')[0]}_{self.note(key).main_index}"


def trainer_for(config: Any, folder: Path) -> Any:
    """The trainer without processes: everything from a sampled batch to the update runs as it is."""
    trainer: Any = CleartraceTrainer.__new__(CleartraceTrainer)
    trainer.config, trainer.tokenizer, trainer.global_steps = config, tokenizer(), 1
    trainer._saar = SaarConfig(**OmegaConf.to_container(config.actor_rollout_ref.rollout.custom.saar))
    trainer._updates = None
    trainer._trajectories = JsonLines(folder / "trajectories.jsonl")
    trainer.use_critic = trainer.use_reference_policy = False
    trainer.actor_rollout_wg = helper.WORKERS
    return trainer


REWARDS = {"a": [1.0, -1.0, -1.0, 1.0], "b": [1.0, 1.0, 1.0, -1.0]}
STEPS = itertools.count()
"""Numbers the prompts of each step, so that steps share a queue and no key."""
TURNS = {"a": [REPAIRED, PLAIN, REPAIRED, REPAIRED], "b": [PLAIN, REPAIRED, PLAIN, PLAIN]}


def take_step(config: Any, folder: Path, *, ungraded: str = "", reference: float | None = None) -> Step:
    """Two prompts with four rollouts each, three of prompt a and one of prompt b repaired.

    With `reference`, veRL's reference policy finds every token that much less likely than the policy does.
    """
    offered, number = 0, next(STEPS)
    for name, turns in TURNS.items():
        uid = f"{name}{number}"
        sessions = [outputs(t, config, session_id=i, extra_info={"sample_id": name}) for i, t in enumerate(turns)]
        offered += sum(len(s) - 1 for s in sessions if isinstance(s, list))
        helper.deliver(uid, sessions, REWARDS[name], ungraded=name == ungraded)
    trainer = trainer_for(config, folder)
    batch, metrics = trainer._balance_batch(helper.sample(2), metrics={}), {}
    lengths = [tag["response_len"] for tag in batch.tags]
    old = nested([log_probs(key, n) for key, n in zip(batch.keys, lengths, strict=True)])
    fields = {"old_log_probs": old}
    if reference is not None:
        fields["ref_log_prob"] = nested([row - reference for row in old.unbind()])
        trainer.use_reference_policy = True
    fields = TensorDict(fields, batch_size=len(batch))
    batch = tq.kv_batch_put(keys=batch.keys, partition_id="train", fields=fields)
    return Step(trainer, trainer._compute_advantage(batch, metrics), metrics, offered)


def log_probs(key: str, n: int) -> torch.Tensor:
    return -torch.rand(n, generator=torch.Generator().manual_seed(sum(key.encode()))) - 0.1


def group_advantage(key: str) -> float:
    """GRPO's own, from the rollouts of the prompt alone."""
    rewards = np.array(REWARDS[key[0]])
    return (rewards[int(key.split("_")[1])] - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)


@pytest.fixture(scope="module")
def step(queue, tmp_path_factory) -> Step:
    return take_step(configuration(beta=0.4, weight=0.5), tmp_path_factory.mktemp("step"))


def test_d32_one_pair_per_prompt_stays_and_the_rows_of_the_others_are_deleted(step):
    assert step.offered == 8 and len(step.extra) == 4
    assert sorted(key[0] for key in step.extra) == ["a", "a", "b", "b"]
    prompts = {key.split("_")[0] for key in real_keys(step.batch)}
    stored = {key for key in tq.kv_list("train")["train"] if key.split("_")[0] in prompts}
    assert stored == {*step.extra, *real_keys(step.batch)}


def test_d33_both_rows_of_a_pair_are_there(step):
    sessions = [key.rpartition("_")[0] for key in step.extra]
    assert sorted(sessions) == sorted(2 * sorted(set(sessions)))


def test_rollouts_keep_grpos_advantage_and_their_baseline_knows_no_pair(step):
    """The reward that veRL copied to the rows of a pair counts nowhere."""
    for key in real_keys(step.batch):
        mask = step.field("response_mask", key)
        assert step.field("advantages", key) == pytest.approx(group_advantage(key) * mask, abs=1e-5)
    assert all(step.field("rm_scores", key).sum() == 0 for key in step.extra)


def test_only_the_compared_tokens_of_a_pair_are_trained(step):
    for key in step.extra:
        note, mask, advantages = step.note(key), step.field("response_mask", key), step.field("advantages", key)
        assert np.flatnonzero(mask).tolist() == list(range(note.start, note.end))
        assert set(np.flatnonzero(advantages)) <= set(np.flatnonzero(mask))
        assert (advantages[note.start :] > 0).all() == (note.role == "good")


def test_the_step_grows_instead_of_adding_an_update(step):
    """8 rollouts fill one mini-batch; with 4 rows more, veRL alone would make it two."""
    assert len(step.batch) == 12 and step.trainer._updates == 1
    actor = step.trainer.config.actor_rollout_ref.actor
    with mini_batches(step.trainer.config, rows=12, updates=1):
        assert actor.ppo_mini_batch_size * 4 == 12
    assert actor.ppo_mini_batch_size == 2


def test_verls_loss_of_the_step_is_grpo_plus_the_mean_dpo_loss(step):
    """To 1e-6, by autograd through veRL's policy loss, with its token mean over `loss_mask`."""
    keys = step.batch.keys
    fields = {name: [step.field(name, key) for key in keys] for name in ("advantages", "response_mask", "loss_mask")}
    old = [log_probs(key, len(row)) for key, row in zip(keys, fields["advantages"], strict=True)]
    new = [row.double().clone().requires_grad_() for row in old]
    mask = padded([torch.from_numpy(m) for m in fields["response_mask"]])
    actor = omega_conf_to_dataclass(step.trainer.config.actor_rollout_ref.actor)
    tokens = int(sum(m.sum() for m in fields["loss_mask"]))
    actor.global_batch_info.update(dp_size=1, batch_num_tokens=tokens, global_batch_size=8, loss_scale_factor=None)
    loss, _ = compute_policy_loss_vanilla(
        padded([row.double() for row in old]),
        padded(new),
        padded([torch.from_numpy(a).double() for a in fields["advantages"]]),
        mask,
        "token-mean",
        actor,
    )
    got = dict(zip(keys, torch.autograd.grad(loss, new), strict=True))

    fresh = {key: row.double().clone().requires_grad_() for key, row in zip(keys, old, strict=True)}
    wanted = torch.autograd.grad(plain_loss(step, fresh, tokens), list(fresh.values()), allow_unused=True)
    for key, gradient in zip(fresh, wanted, strict=True):
        expected = torch.zeros_like(got[key]) if gradient is None else gradient
        assert torch.allclose(got[key], expected, atol=1e-6, rtol=0), key
        assert key not in step.extra or expected.abs().max() > 1e-3


def plain_loss(step: Step, rows: dict[str, torch.Tensor], tokens: int) -> torch.Tensor:
    """GRPO's token mean over the rollouts + weight * mean of -log sigmoid(beta * d), the old policy as reference."""
    policy = sum(
        -(group_advantage(key) * torch.from_numpy(step.field("loss_mask", key)) * rows[key]).sum()
        for key in real_keys(step.batch)
    )
    sums: dict[str, dict[str, torch.Tensor]] = {}
    for key in step.extra:
        note = step.note(key)
        gain = (rows[key] - rows[key].detach())[note.start : note.end].sum()
        sums.setdefault(key.rpartition("_")[0], {})[note.role] = gain
    pairs = [-torch.nn.functional.logsigmoid(0.4 * (pair["good"] - pair["failed"])) for pair in sums.values()]
    return policy / tokens + 0.5 * torch.stack(pairs).mean()


def padded(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def test_d34_the_denominator_counts_the_tokens_of_rollouts_only(step):
    assert all(step.field("loss_mask", key).sum() == 0 for key in step.extra)


def test_no_metric_of_verl_or_ours_counts_a_row_of_a_pair(step):
    rollouts = step.trainer._rollouts(step.batch)
    assert len(rollouts) == 8 == step.metrics["grpo/num_positive_samples"]
    assert step.metrics["grpo/num_negative_samples"] == 2
    written = [json.loads(line) for line in step.trainer._trajectories.path.read_text().splitlines()]
    assert sum(r["generated_tokens"] for r in written) == sum(f["saar"]["generated_tokens"] for f in rollouts)
    trainer, metrics = step.trainer, {}
    trainer._rollout_moe_lb_metrics_accumulator = None
    trainer._get_n_gpus_for_throughput = lambda: 1
    trainer._compute_metrics(step.batch, metrics, {"step": 1.0}, 1, 0)
    rewards = np.concatenate(list(REWARDS.values()))
    assert metrics["critic/score/mean"] == pytest.approx(rewards.mean())
    assert metrics["training/num_turns/min"] >= 4, "rows of pairs have no turns"
    longest = max(step.field("responses", key).shape[0] for key in real_keys(step.batch))
    assert metrics["response_length/max"] == longest
    assert metrics["critic/advantages/max"] == pytest.approx(max(map(group_advantage, real_keys(step.batch))), abs=1e-4)


def test_d34_a_step_with_negatives_can_be_dumped(step, tmp_path):
    step.trainer._init_dump_executor()
    step.trainer._log_rollout_data(step.batch, {}, str(tmp_path))
    step.trainer._shutdown_dump_executor()
    (path,) = tmp_path.iterdir()
    dumped = {row["uid"]: row for row in map(json.loads, path.read_text().splitlines())}
    assert set(dumped) == set(step.batch.keys)
    assert {dumped[key]["score"] for key in step.extra} == {0.0}


def test_without_our_trainer_the_rows_would_have_no_effect_either(tmp_path):
    """veRL's own advantages, with the rows in the batch as the agent loop returned them (14.5)."""
    config = configuration()
    helper.deliver("c", [outputs(REPAIRED, config, session_id=i) for i in range(2)], [1.0, -1.0])
    batch = helper.sample(1)
    assert len(batch) == 6
    old = nested([log_probs(key, tag["response_len"]) for key, tag in zip(batch.keys, batch.tags, strict=True)])
    fields = TensorDict({"old_log_probs": old}, batch_size=6)
    batch = tq.kv_batch_put(keys=batch.keys, partition_id="train", fields=fields)
    PPOTrainerSync._compute_advantage(trainer_for(config, tmp_path), batch, {})
    found = tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=["advantages", "rm_scores"])
    for key, advantages, scores in zip(
        batch.keys, *(found[n].unbind() for n in ("advantages", "rm_scores")), strict=True
    ):
        assert scores.sum() in (1.0, -1.0), "the copied reward"
        assert bool(advantages.abs().sum() > 0) == key.endswith("_2")
    tq.kv_clear(keys=batch.keys, partition_id="train")


def test_verls_reference_policy_is_the_reference_where_there_is_one(tmp_path):
    """Each token adds 0.25 to a call's log ratio, so the margin is a difference of lengths."""
    step = take_step(configuration(beta=0.4, reference="model"), tmp_path, reference=0.25)
    lengths = {key: step.note(key).end - step.note(key).start for key in step.extra}
    signed = [n if step.note(key).role == "good" else -n for key, n in lengths.items()]
    assert step.metrics["preference/margin"] == pytest.approx(0.25 * sum(signed) / 2, abs=1e-4) and sum(signed) != 0
    assert step.metrics["preference/loss"] != pytest.approx(np.log(2), abs=1e-3)


@pytest.mark.parametrize("mode", ["legacy", "corrected"])
def test_a_shift_moves_both_calls_and_leaves_returns_alone(mode, tmp_path):
    """(D30, D34)"""
    step = take_step(configuration(mode, beta=15.0), tmp_path)
    assert len(step.extra) == 2 and step.metrics["preference/left_out"] == 0
    for key in step.extra:
        note, main = step.note(key), step.rollout_of(key)
        moved = step.field("advantages", main) - step.field("returns", main)
        assert np.flatnonzero(moved).tolist() == list(range(note.main_start, note.main_end))
        taken = step.field("advantages", key)
        assert np.flatnonzero(taken).tolist() == list(range(note.start, note.end))
        assert moved[note.main_start] == pytest.approx(
            0.1 if mode == "legacy" else -taken.sum() / moved[moved > 0].size, abs=1e-5
        )
        equal = moved.sum() == pytest.approx(-taken.sum(), abs=1e-4)
        assert equal == (mode == "corrected"), "the published cap pushes the longer call more"


def test_the_published_denominator_counts_failed_calls(tmp_path):
    """(D34)"""
    step = take_step(configuration("legacy", count_tokens=True), tmp_path)
    for key in step.extra:
        assert step.field("loss_mask", key).tolist() == step.field("response_mask", key).tolist()


def test_a_good_call_that_a_correction_masked_pushes_no_failed_one(tmp_path):
    step = take_step(configuration("corrected", saar={"correction": "mask", "policy": "replace"}), tmp_path)
    assert step.metrics["preference/left_out"] == len(step.extra) == 2
    assert step.metrics["grpo/num_negative_samples"] == 0
    assert all(step.field("advantages", key).sum() == step.field("response_mask", key).sum() == 0 for key in step.extra)


def test_weights_of_spliced_tokens_do_not_weigh_a_pair(tmp_path):
    step = take_step(configuration(saar={"correction": "token_is"}), tmp_path)
    assert all((step.field("rollout_is_weights", key) == 1).all() for key in step.extra)


def test_an_ungraded_rollout_offers_nothing(tmp_path):
    """(D7) its agent loop could not know."""
    step = take_step(configuration(), tmp_path, ungraded="b")
    assert {key[0] for key in step.extra} == {"a"}


def test_a_step_without_pairs_is_verls_own(tmp_path):
    step = take_step(configuration("off"), tmp_path)
    assert len(step.batch) == 8 and step.extra == [] and step.trainer._updates is None
    assert not [name for name in step.metrics if name.startswith(("preference/", "grpo/"))]


@pytest.mark.slow
def test_two_real_steps_train_on_pairs_and_count_rollouts(tmp_path):
    """Everything of a run, on a CPU; the policy fails often enough that every step has pairs."""
    run_dir = tmp_path / "run"
    option = "actor_rollout_ref.rollout.custom.saar.negatives"
    finish(run_dir, f"{option}.mode=dpo", f"{option}.max_per_group=2", f"trainer.rollout_data_dir={tmp_path / 'dump'}")
    steps = [row["data"] for row in rows(run_dir / "metrics.jsonl") if "timing_s/step" in row["data"]]
    assert len(steps) == 2 and all(data["grpo/num_negative_samples"] > 0 for data in steps)
    for number, data in enumerate(steps, 1):
        pairs, scores = data["grpo/num_negative_samples"], [r["reward"] for r in trained(run_dir, number)]
        assert data["grpo/num_positive_samples"] == len(scores) == 16
        assert data["critic/score/mean"] == pytest.approx(np.mean(scores))
        assert data["preference/loss"] == pytest.approx(np.log(2)), "the policy is its own reference"
        dumped = rows(tmp_path / "dump" / f"{number}.jsonl")
        assert len(dumped) == 32 >= 16 + 2 * pairs, "one mini-batch, filled up to a multiple of 16"
    (optimizer,) = (run_dir / "checkpoints/global_step_2/actor").glob("optim*.pt")
    state = torch.load(optimizer, map_location="cpu", weights_only=False)["state"]
    assert {float(entry["step"]) for entry in state.values()} == {2.0}, "one update per step"


def trained(run_dir: Path, step: int) -> list[dict[str, Any]]:
    return [r for r in rows(run_dir / "trajectories.jsonl") if r["split"] == "train" and r["step"] == step]


# --- configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("algorithm.adv_estimator", "rloo", "needs algorithm.adv_estimator=grpo, got rloo"),
        ("actor_rollout_ref.actor.loss_agg_mode", "seq-mean-token-mean", "needs actor.loss_agg_mode=token-mean"),
        ("actor_rollout_ref.rollout.custom.saar.enable", False, "rollback is off"),
        ("actor_rollout_ref.rollout.custom.saar.negatives.reference", "model", "set actor.use_kl_loss=true"),
        ("distillation.enabled", True, "cannot be combined with distillation"),
    ],
)
def test_d34_what_negatives_cannot_be_combined_with_is_named(key, value, says):
    config = configuration()
    assert preflight.problems(config) == []
    OmegaConf.update(config, key, value, force_add=True)
    (problem,) = preflight.problems(config)
    assert says in problem


TURN = "actor_rollout_ref.rollout.multi_turn"
PUBLISHED = [f"{TURN}.save_negative_samples=true", "algorithm.use_dpo_on_tool_calls=true"]


def negatives_of(*overrides: str) -> Any:
    config = compose(overrides)
    assert (
        "dpo_beta" not in config.algorithm
        and "save_negative_samples" not in config.actor_rollout_ref.rollout.multi_turn
    )
    return SaarConfig(**OmegaConf.to_container(config.actor_rollout_ref.rollout.custom.saar)).negatives  # type: ignore[arg-type]


def test_the_published_keys_mean_the_published_shift():
    found = negatives_of(
        *PUBLISHED,
        f"{TURN}.max_negative_samples_per_group=2",
        "algorithm.dpo_beta=15",
        "algorithm.dpo_max_adjustment_ratio=0.2",
    )
    got = (found.mode.value, found.max_per_group, found.beta, found.cap, found.count_tokens)
    assert got == ("legacy", 2, 15.0, 0.2, True)
    assert negatives_of(*PUBLISHED).beta == 0.1


def test_our_own_name_wins_over_the_published_one():
    assert negatives_of(*PUBLISHED, "actor_rollout_ref.rollout.custom.saar.negatives.beta=3").beta == 3


def test_the_published_recipes_leave_negatives_off():
    off = [f"{TURN}.save_negative_samples=false", f"{TURN}.max_negative_samples_per_group=0", "algorithm.dpo_beta=15"]
    assert negatives_of(*off).mode.value == "off"


@pytest.mark.parametrize(
    "overrides", [PUBLISHED[:1], PUBLISHED[1:], [*PUBLISHED, f"{TURN}.max_negative_samples_per_group=0"]]
)
def test_half_of_the_published_switches_is_refused(overrides):
    with pytest.raises(ConfigError, match="together: give .* as well, or none"):
        compose(overrides)
