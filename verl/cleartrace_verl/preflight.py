"""What would stop a run, found before anything is started."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from cleartrace.data.errors import column_errors
from cleartrace.losses.options import Mode, Reference
from cleartrace.purify.config import Policy, SaarConfig
from cleartrace.purify.correction import NEEDS_LOGPROBS
from cleartrace.tools.shell.config import ShellConfig
from cleartrace_verl import plugin
from cleartrace_verl.context.checks import problems as context_problems
from cleartrace_verl.guidance import problems as guidance_problems
from cleartrace_verl.reward_options import option_problems

COLUMNS = ("prompt", "data_source", "reward_model")


def problems(config: DictConfig) -> list[str]:
    """One sentence each, with what to do. Empty: the run can start."""
    return [
        *(f"The veRL plug-in did not register {name}: reinstall with `bash scripts/setup.sh`." for name in _plugin()),
        *_model(config),
        *_data(config),
        *_judge(config),
        *_ray(config),
        *_correction(config),
        *_negatives(config),
        *_batches(config),
        *_reward(config),
        *context_problems(config),
        *_shell(config),
        *guidance_problems(config),
    ]


def _plugin() -> list[str]:
    return plugin.check_registered()


def _model(config: DictConfig) -> Iterator[str]:
    path = str(config.actor_rollout_ref.model.path)
    local = path.startswith((".", "/", "~")) or Path(path).parts[0] in ("dataset", "runs")
    if local and not (Path(path).expanduser() / "config.json").exists():
        yield f"No model at {path}: set actor_rollout_ref.model.path to a folder with a config.json."
    adapter = config.actor_rollout_ref.model.get("lora_adapter_path")
    if adapter and not (Path(adapter).expanduser() / "adapter_config.json").exists():
        yield (
            f"No LoRA adapter at {adapter}: train one as docs/results.md says, and set "
            "actor_rollout_ref.model.lora_adapter_path to its folder."
        )


def _data(config: DictConfig) -> Iterator[str]:
    if config.cleartrace.tasks.train:
        return
    for key in ("train_files", "val_files"):
        files = config.data[key]
        for name in [files] if isinstance(files, str) else files:
            yield from _file(key, Path(str(name)).expanduser())


def _file(key: str, path: Path) -> Iterator[str]:
    if not path.exists():
        yield f"data.{key}: there is no file {path}."
        return
    if path.suffix != ".parquet":
        return
    import pyarrow.parquet as pq

    columns = pq.read_schema(path).names
    if missing := [name for name in COLUMNS if name not in columns]:
        yield f"data.{key}: {path} lacks the column(s) {', '.join(missing)}; it has {', '.join(columns)}."


def _judge(config: DictConfig) -> Iterator[str]:
    url = config.cleartrace.judge.url
    if not url:
        return
    try:
        httpx.get(f"{url}/ping", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        yield (
            f"The judge at {url} does not answer ({type(error).__name__}): start it with `code-judge serve`, "
            "or leave cleartrace.judge.url empty."
        )


def _ray(config: DictConfig) -> Iterator[str]:
    init = config.ray_kwargs.get("ray_init", {})
    cpus = init.get("num_cpus")
    if cpus is None or init.get("address"):
        return
    units = OmegaConf.select(config, "transfer_queue.backend.SimpleStorage.num_data_storage_units") or 0
    ranks = config.trainer.n_gpus_per_node * config.trainer.nnodes
    needed = units + 1 + 3 * ranks
    if cpus < needed:
        yield (
            f"ray_kwargs.ray_init.num_cpus={cpus} is too small: {needed} logical CPUs are needed "
            f"({units} storage units, 1 controller, 3 per training rank), and Ray would wait without a word."
        )


def _correction(config: DictConfig) -> Iterator[str]:
    rollout = config.actor_rollout_ref.rollout
    saar = SaarConfig(**{str(key): value for key, value in rollout.custom.saar.items()})
    if saar.enable and OmegaConf.select(config, "algorithm.rollout_correction.bypass_mode"):
        yield (
            "algorithm.rollout_correction.bypass_mode=true cannot be combined with rollback: it would take the "
            "log-probs of spliced tokens from the context with the error in it. Leave it false."
        )
    wants = [f"correction={saar.correction.value}"] if saar.correction in NEEDS_LOGPROBS else []
    scores = ["policy=importance"] if Policy.IMPORTANCE in (saar.policy, saar.splices_by) else []
    scores += ["score_spliced=true"] if saar.score_spliced else []
    if saar.enable and (wants or scores) and not rollout.calculate_log_probs:
        yield (
            f"custom.saar {', '.join(wants + scores)} compares log-probs with those of the sampler: set "
            "actor_rollout_ref.rollout.calculate_log_probs=true."
        )
    if saar.enable and scores and rollout.temperature != 1.0:
        yield (
            f"custom.saar {', '.join(scores)} scores tokens at temperature 1, but they are sampled at "
            f"actor_rollout_ref.rollout.temperature={rollout.temperature}: set that to 1.0."
        )


def _negatives(config: DictConfig) -> Iterator[str]:
    actor = config.actor_rollout_ref.actor
    saar = SaarConfig(**{str(key): value for key, value in config.actor_rollout_ref.rollout.custom.saar.items()})
    mode, reference = saar.negatives.mode, saar.negatives.reference
    if mode is Mode.OFF:
        return
    name = f"custom.saar.negatives.mode={mode.value}"
    if not saar.enable:
        yield f"{name} learns from repaired calls, and rollback is off: set custom.saar.enable=true."
    if config.algorithm.adv_estimator != "grpo":
        yield (
            f"{name} needs algorithm.adv_estimator=grpo, got {config.algorithm.adv_estimator}: with others veRL takes "
            "every failed call for a rollout with a reward of its own."
        )
    if actor.loss_agg_mode != "token-mean" or actor.policy_loss.loss_mode != "vanilla":
        yield (
            f"{name} needs actor.loss_agg_mode=token-mean and actor.policy_loss.loss_mode=vanilla, "
            f"got {actor.loss_agg_mode} and {actor.policy_loss.loss_mode}."
        )
    kept = actor.use_kl_loss or config.algorithm.use_kl_in_reward
    if mode is Mode.DPO and reference is Reference.MODEL and not kept:
        yield (
            f"{name} with reference=model needs veRL's reference policy: set actor.use_kl_loss=true (kl_loss_coef may "
            "be 0), or use reference=step."
        )
    if OmegaConf.select(config, "distillation.enabled"):
        yield f"{name} cannot be combined with distillation: veRL asks the teacher about the last row of a rollout."


def _reward(config: DictConfig) -> Iterator[str]:
    yield from option_problems(config)
    manager = config.reward.reward_manager
    if manager.source == "register":
        yield (
            f"reward.reward_manager.name={manager.name} of veRL hands the grader no last turn and may drop what the "
            "agent loop recorded. Leave the default; it reads reward_kwargs.overlong_buffer_cfg as dapo does."
        )
    options = config.reward.get("reward_kwargs") or {}
    buffer = options.get("overlong_buffer_cfg") or {}
    if buffer.get("enable") and (missing := [k for k in ("len", "penalty_factor") if buffer.get(k) is None]):
        yield f"reward.reward_kwargs.overlong_buffer_cfg lacks {', '.join(missing)}."
    if buffer.get("enable") and options.get("max_resp_len") is None:
        yield "reward.reward_kwargs.max_resp_len is needed for the overlong penalty: give data.max_response_length."


def _shell(config: DictConfig) -> Iterator[str]:
    given: Any = OmegaConf.to_container(config.actor_rollout_ref.rollout.custom.get("shell") or OmegaConf.create())
    try:
        ShellConfig(**given)
    except ValidationError as error:
        name, message = column_errors(error)[0]
        yield f"actor_rollout_ref.rollout.custom.shell.{name}: {message}."


def _batches(config: DictConfig) -> Iterator[str]:
    """veRL fills a step up to whole mini-batches, and cuts both into micro-batches without a remainder."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    ranks = config.trainer.n_gpus_per_node * config.trainer.nnodes // (actor.ulysses_sequence_parallel_size or 1)
    mini = actor.ppo_mini_batch_size * rollout.n
    step = math.ceil(config.data.train_batch_size * rollout.n / mini) * mini
    if not actor.use_dynamic_bsz:
        yield from _divides(config, "actor.ppo_micro_batch_size_per_gpu", "mini-batch", mini // ranks)
    if not rollout.log_prob_use_dynamic_bsz:
        yield from _divides(config, "rollout.log_prob_micro_batch_size_per_gpu", "step", step // ranks)


def _divides(config: DictConfig, key: str, what: str, rows: int) -> Iterator[str]:
    micro = OmegaConf.select(config.actor_rollout_ref, key)
    if micro and rows % micro:
        yield (
            f"A {what} has {rows} rollouts per training rank, and actor_rollout_ref.{key}={micro} does not divide "
            "that: choose a value that does."
        )
