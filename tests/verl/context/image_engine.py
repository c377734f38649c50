"""Runs veRL's FSDP2 engine on image pairs, in a process of its own: veRL changes classes of transformers for good.

    python tests/verl/context/image_engine.py FOLDER PAIRS padded|packed

Prints one JSON object: margins of the rows, and how large the gradients of the vision tower are.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from tensordict import TensorDict
from verl.trainer.config import CheckpointConfig
from verl.utils.distributed import initialize_global_process_group_ray
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import EngineRegistry

import cleartrace_verl.workers  # noqa: F401  (registers the engine for "cpu")
from cleartrace.losses.context_options import LogitsPath
from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.record import Order
from cleartrace_verl.context.engine import ANSWER_LOGITS, MODEL_TYPE
from cleartrace_verl.context.positions import positions_of
from cleartrace_verl.context.rows import BatchSettings, Row, batch_of


def engine_of(folder: str, packed: bool) -> tuple[Any, HFModelConfig]:
    model = HFModelConfig(
        path=folder,
        trust_remote_code=True,
        use_remove_padding=packed,
        enable_gradient_checkpointing=False,
        override_config={"attn_implementation": "sdpa"},
    )
    settings = FSDPEngineConfig(
        strategy="fsdp2",
        use_torch_compile=False,
        mixed_precision={"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
    )
    engine = EngineRegistry.new(
        model_type=MODEL_TYPE,
        backend="fsdp2",
        model_config=model,
        engine_config=settings,
        optimizer_config=FSDPOptimizerConfig(lr=1e-3, total_training_steps=1),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine, model


def main(folder: str, pairs: str, packed: bool) -> None:
    initialize_global_process_group_ray(timeout_second=None, backend="cpu:gloo")
    engine, model = engine_of(folder, packed)
    encoder = PairEncoder(model.tokenizer, model.processor)
    positions = positions_of(model.processor)
    rows = []
    for pair in read_pairs(pairs):
        encoded = encoder.encode(pair, Order.SUPPORTING_FIRST)
        rows.append(Row(encoded, tuple(encoded.input_ids), *positions(encoded, encoded.input_ids)))
    margins: dict[int, float] = {}

    def loss(model_output: dict[str, Any], data: TensorDict, dp_group: Any = None) -> tuple[torch.Tensor, dict]:
        logits = model_output.pop(ANSWER_LOGITS)
        margin = logits.gather(1, data["first_ids"]) - logits.gather(1, data["second_ids"])
        margins.update(zip(data["row"].tolist(), margin.flatten().tolist(), strict=True))
        return margin.sum(), {}

    longest = max(len(row.ids) for row in rows)
    batch = batch_of(rows, BatchSettings(LogitsPath.LM_HEAD, 2 * longest, packed, fused=False))
    with engine.train_mode():
        engine.forward_backward_batch(batch, loss)
        norms = {
            name: float(parameter.grad.full_tensor().norm())
            for name, parameter in engine.module.named_parameters()
            if ".visual." in name
        }
    print(
        json.dumps(
            {
                "margins": [margins[row] for row in sorted(margins)],
                "vision": norms,
                "kind": type(engine.module).__name__,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] == "packed")
