"""One of several data-parallel ranks, as a script: the gradient of the pairs, and which pairs it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf

from cleartrace_verl.context.worker import ContextActorRolloutRefWorker
from cleartrace_verl.one_process import actor_of, open_group


def main(rank: int, ranks: int, port: int, config: Path, out: Path) -> None:
    open_group(rank, ranks, port)
    actor = actor_of(OmegaConf.load(config), ContextActorRolloutRefWorker)
    context, engine = actor._context, actor.engine
    with engine.train_mode(disable_auto_offload=True):
        engine.optimizer_zero_grad()
        context.run(1)
        gradient = [p.grad.full_tensor().double() for p in engine.module.parameters()]
    held_out = context.score_held_out()
    drawn = [draw.index for draw in context._source._stream.batch(1)]
    norm = torch.stack([g.square().sum() for g in gradient]).sum().sqrt().item()
    first = gradient[1].flatten()[:50].tolist()
    found = {"norm": norm, "first": first, "drawn": drawn, "metrics": context.metrics, "held_out": held_out}
    out.write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
