"""One training process of an SFT run: `torchrun -m cleartrace_verl.sft_worker CONFIG_FILE`, which `sft` starts."""

from __future__ import annotations

import signal
import sys

from omegaconf import DictConfig, OmegaConf

from code_judge.sandbox.syscalls import die_with_parent


def train(config: DictConfig) -> None:
    """Run veRL's SFT trainer over the process group that torchrun describes."""
    from verl.utils.device import auto_set_device
    from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

    from cleartrace_verl.platform_cpu import choose_cpu

    if config.trainer.device == "cpu":
        choose_cpu()
        _open_gloo()
    else:
        auto_set_device(config)
        initialize_global_process_group()
    from verl.trainer.sft_trainer import SFTTrainer

    SFTTrainer(config=config).fit()
    destroy_global_process_group()


def _open_gloo() -> None:
    """veRL would ask torch for the backend "cpu:gloo,cpu:gloo", which it refuses; it leaves an open group alone."""
    from verl.utils.distributed import initialize_global_process_group_ray

    from cleartrace_verl import workers  # noqa: F401  (registers FSDP2 and packed attention for the CPU)

    initialize_global_process_group_ray(backend="cpu:gloo")


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)  # torchrun, killed, ends no worker
    loaded = OmegaConf.load(sys.argv[1])
    assert isinstance(loaded, DictConfig)
    train(loaded)
