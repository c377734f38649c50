"""Run in an environment with LLaMA-Factory: reads an exported folder with its own parser and loader, prints JSON.

Changed for a machine without a GPU: `use_cpu`, and no DeepSpeed, which its parser asks for at once.
"""

import json
import os
import sys

os.environ["FORCE_TORCHRUN"] = "1"
folder, tokenizer_folder = sys.argv[1:]
os.chdir(folder)

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams.parser import _parse_train_args  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

settings = OmegaConf.to_container(OmegaConf.load("sft.yaml"))
del settings["deepspeed"]
model, data, training, finetuning, _ = _parse_train_args({**settings, "use_cpu": True})
tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
template = get_template_and_fix_tokenizer(tokenizer, data)
loaded = get_dataset(template, model, data, training, stage="sft", tokenizer=tokenizer)


def side(name):
    """What is read and what is learned of each row, as text."""
    return [
        [tokenizer.decode(row["input_ids"]), tokenizer.decode([one for one in row["labels"] if one != -100])]
        for row in loaded[name]
    ]


print(
    json.dumps(
        {
            "train": side("train_dataset"),
            "held_out": side("eval_dataset"),
            "epochs": training.num_train_epochs,
            "warmup": training.warmup_ratio,
            "bf16": training.bf16,
            "type": finetuning.finetuning_type,
        }
    )
)
