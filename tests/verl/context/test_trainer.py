"""Which worker a run gets, and where its stream of pairs stands."""

from __future__ import annotations

import json

import pytest
from omegaconf import OmegaConf
from verl.trainer.ppo.utils import Role

from cleartrace_verl.compose import compose
from cleartrace_verl.context.checks import context_config
from cleartrace_verl.context.trainer import STATE_FILE, ContextTrainer
from cleartrace_verl.context.worker import ContextActorRolloutRefWorker, Score
from cleartrace_verl.platform_cpu import choose_cpu
from cleartrace_verl.run_files import JsonLines
from cleartrace_verl.totals import Totals
from cleartrace_verl.trainer import CleartraceTrainer
from cleartrace_verl.workers import CpuActorRolloutRefWorker, CpuTrainingWorker
from tests.verl.context.support import ROOT, pair_files

KEY = "actor_rollout_ref.context_rl"
PPO_TRAINER = "verl.trainer.ppo.v1.trainer_base.PPOTrainer"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return pair_files(tmp_path_factory.mktemp("pairs"))


def trainer_with(*overrides: str) -> CleartraceTrainer:
    """A trainer that has decided on its workers and started none."""
    choose_cpu()
    config = compose(["experiment=smoke", *overrides], [ROOT / "recipe/cleaner"])
    OmegaConf.resolve(config)
    trainer = object.__new__(CleartraceTrainer)
    trainer.config = config
    trainer._learns_contexts = context_config(config.actor_rollout_ref).active
    trainer._optimizer_steps, trainer._updates, trainer.global_steps = 0, None, 0
    trainer._init_resource_pool_mgr()
    return trainer


def workers(trainer: CleartraceTrainer) -> dict[Role, type]:
    return {
        role: worker.__ray_metadata__.modified_class.__mro__[1] for role, worker in trainer.role_worker_mapping.items()
    }


def on(files, *more: str) -> list[str]:
    return [f"{KEY}.enable=true", f"{KEY}.train_files=[{files[0]}]", *more]


def test_only_the_actor_learns_from_pairs(files):
    """T1, T3: the critic and a reference policy of its own keep their workers."""
    found = workers(trainer_with(*on(files), "algorithm.adv_estimator=gae"))
    assert found[Role.ActorRollout] is ContextActorRolloutRefWorker
    assert found[Role.Critic] is CpuTrainingWorker
    with_reference = workers(trainer_with(*on(files), "actor_rollout_ref.actor.use_kl_loss=true"))
    assert with_reference[Role.ActorRolloutRef] is ContextActorRolloutRefWorker
    assert ContextActorRolloutRefWorker.ref_worker_cls is CpuTrainingWorker


@pytest.mark.parametrize("more", [[], [f"{KEY}.coef=0"]])
def test_without_a_weight_nothing_is_mixed_in(files, more):
    """lambda = 0 is GRPO, not GRPO plus nothing."""
    overrides = on(files, *more) if more else []
    assert set(workers(trainer_with(*overrides)).values()) == {CpuActorRolloutRefWorker}


def test_every_role_of_the_actor_is_known():
    assert issubclass(CleartraceTrainer, ContextTrainer)
    assert Score.of(before=True, after=False) is Score.BEFORE and Score.of(before=True, after=True) is Score.BOTH


def test_the_stream_goes_on_where_the_checkpoint_stood(files, tmp_path, monkeypatch):
    """W11; a checkpoint without the file, of a run without pairs, counts the steps it must have made."""
    trainer = trainer_with(*on(files), "actor_rollout_ref.actor.ppo_mini_batch_size=2", "data.train_batch_size=4")
    monkeypatch.setattr(f"{PPO_TRAINER}._load_checkpoint", lambda self: None)
    trainer.config.trainer.default_local_dir = str(tmp_path)
    trainer.global_steps = 3
    ContextTrainer._load_checkpoint(trainer)
    assert trainer._optimizer_steps == 6
    folder = tmp_path / "global_step_3"
    folder.mkdir()
    (folder / STATE_FILE).write_text(json.dumps({"optimizer_steps": 7}))
    ContextTrainer._load_checkpoint(trainer)
    assert trainer._optimizer_steps == 7


def test_the_state_stands_before_verl_says_that_a_checkpoint_is_whole(files, tmp_path, monkeypatch):
    """A run that is killed right behind the mark counts on, and its policy loads anywhere once it is resumed."""
    trainer = trainer_with(*on(files))
    trainer.config.trainer.default_local_dir = str(tmp_path / "checkpoints")
    trainer._totals, trainer._optimizer_steps, trainer.global_steps = Totals(generated_tokens=50), 7, 3
    trainer._run_dir = tmp_path
    trainer._trajectories, trainer._events = JsonLines(tmp_path / "t.jsonl"), JsonLines(tmp_path / "events.jsonl")
    trainer._trajectories.append({"step": step, "split": "val"} for step in (0, 3))
    trainer.config.trainer.val_before_train, trainer.total_training_steps = False, 3
    folder = tmp_path / "checkpoints/global_step_3"

    def killed_behind_the_mark(self) -> None:
        assert {path.name for path in folder.iterdir()} == {"context.json", "cleartrace.json"}
        (folder / "actor/huggingface").mkdir(parents=True)
        (folder / "actor/huggingface/config.json").write_text('{"attn_implementation": "packed_sdpa"}')
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{PPO_TRAINER}._save_checkpoint", killed_behind_the_mark)
    monkeypatch.setattr(f"{PPO_TRAINER}._load_checkpoint", lambda self: None)
    with pytest.raises(KeyboardInterrupt):
        trainer._save_checkpoint()
    trainer._totals, trainer._optimizer_steps = Totals(), 0
    trainer._load_checkpoint()
    assert (trainer._totals.generated_tokens, trainer._optimizer_steps) == (50, 7)
    assert json.loads((folder / "actor/huggingface/config.json").read_text()) == {}
    assert trainer.config.trainer.val_before_train, "the validation of the last step is still owed"
    assert [row["step"] for row in trainer._trajectories.rows()] == [0]
