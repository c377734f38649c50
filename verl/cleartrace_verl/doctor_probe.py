"""`python -m cleartrace_verl.doctor_probe POLICY_DIR`: one line of JSON about veRL, for `cleartrace doctor`."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("verl", "torch", "transformers", "ray", "tensordict", "TransferQueue")
PROMPT = "What is 12 + 30?"


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def try_policy(folder: Path) -> dict[str, Any]:
    """Load the policy into the embedded engine and sample a few tokens from it."""
    from transformers import AutoTokenizer

    from cleartrace_verl.engine import EngineConfig, Sampling, load_engine

    started = time.perf_counter()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        engine = load_engine(folder, EngineConfig(dtype="float32"))
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], add_generation_prompt=True)
        ids = prompt["input_ids"] if hasattr(prompt, "keys") else prompt
        done = engine.generate([list(ids)], Sampling(max_tokens=8))[0]
    except Exception as error:  # whatever is wrong with the files, the doctor shows it and goes on
        return {"worked": False, "detail": f"{type(error).__name__}: {error}"}
    seconds = time.perf_counter() - started
    return {"worked": True, "detail": f"loads and generates {len(done.token_ids)} tokens, {seconds:.1f} s"}


def answer(policy: Path) -> dict[str, Any]:
    """Versions, what the plug-in did not register, the device veRL chose, GPUs, importable engines, the policy."""
    import torch
    from verl.utils.device import get_device_name

    from cleartrace_verl import plugin

    return {
        "versions": {name: _installed(name) for name in PACKAGES},
        "unregistered": plugin.check_registered(),
        "device": get_device_name(),
        "gpus": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "engines": [name for name in ("sglang", "vllm") if importlib.util.find_spec(name) is not None],
        "policy": try_policy(policy),
    }


if __name__ == "__main__":
    print(json.dumps(answer(Path(sys.argv[1]))))
