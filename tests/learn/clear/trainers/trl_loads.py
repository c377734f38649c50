"""Run in an environment with TRL: an SFTTrainer takes the exported rows and makes one step, prints JSON."""

import json
import sys
import tempfile

from datasets import load_dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

folder, tokenizer_folder = sys.argv[1:]
files = {side: f"{folder}/{side}.jsonl" for side in ("train", "held_out")}
data = load_dataset("json", data_files=files, cache_dir=tempfile.mkdtemp())
tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
tokenizer.chat_template = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=4096, **sizes))
settings = SFTConfig(
    output_dir=tempfile.mkdtemp(), max_steps=1, per_device_train_batch_size=1, use_cpu=True, bf16=False, report_to=[],
    save_strategy="no",
)  # fmt: skip
trainer = SFTTrainer(
    model, settings, train_dataset=data["train"], eval_dataset=data["held_out"], processing_class=tokenizer
)
read = [tokenizer.decode(row["input_ids"]) for row in trainer.train_dataset]
loss = trainer.train().training_loss
print(json.dumps({"train": read, "held_out": len(trainer.eval_dataset), "loss": loss}))
