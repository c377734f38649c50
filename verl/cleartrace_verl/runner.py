"""The Ray actor that owns the trainer. veRL's own runner looks its trainer up by mode name; ours names it."""

from __future__ import annotations

from typing import Any

import ray
import transfer_queue as tq
from omegaconf import OmegaConf
from verl.trainer.ppo.v1 import AgentLoopManagerTQ
from verl.utils.logging_utils import configure_verl_logging


@ray.remote
class CleartraceRunner:
    """`run` trains to the end; an exception of any part reaches the driver."""

    def run(self, config: Any) -> None:
        from cleartrace_verl.trainer import CleartraceTrainer

        configure_verl_logging()
        config.transfer_queue.enable = True
        OmegaConf.resolve(config)
        tq.init(config.transfer_queue)
        trainer = None
        exit_code = 1
        try:
            # veRL's registration decorator hides that the parent is concrete.
            trainer = CleartraceTrainer(config=config)  # pyright: ignore[reportAbstractUsage]
            trainer.init()
            loops: Any = AgentLoopManagerTQ.create(
                config=config,
                llm_client=trainer.get_llm_client(),
                teacher_client=trainer.get_teacher_client(),
                reward_loop_worker_handles=trainer.get_reward_handles(),
            )
            trainer.fit(loops)
            exit_code = 0
        finally:
            if (tracking := getattr(trainer, "logger", None)) is not None:
                tracking.finish(exit_code=exit_code)
            tq.close()
