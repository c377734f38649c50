"""The model families that are audited, each with a small stand-in for its tokenizer and chat template.

A stand-in template is written for these tests: it renders turns as the family's own does and lists the tools in words
of its own. `fetch.py` runs the same audit on the real files and compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.verl.rollouts import Speaker
from tests.verl.templates import speech

HERE = Path(__file__).parent
_CORPUS = [
    "print(n) import math for word in text: total += len(word) The answer is 3. Let me count the vowels. "
    '{"name": "code_interpreter", "arguments": {"code": "print(3)"}} Tool call success stdout: 3 failure reason: '
    "def solve(x): return x * x NameError at line 1: a NameError for a test. Another way: think, call, answer?"
]
_CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")
_DEEPSEEK_TOOLS = tuple(
    f"<｜tool▁{name}｜>"
    for name in (
        *("calls▁begin", "calls▁end", "call▁begin", "call▁end", "sep"),
        *("outputs▁begin", "outputs▁end", "output▁begin", "output▁end"),
    )
)  # fmt: skip
_THINK = ("<think>", "</think>")
THINKING = ("<think>\n", "\n</think>\n\n")


@dataclass(frozen=True)
class Family:
    """One family.

    Args:
        template: file of the stand-in template in this folder.
        model_type: of the model's config.json; veRL chooses its token builder by it.
        format: value of `multi_turn.format`.
        special: tokens that decoders may leave out; the first in `ends` is the end of sequence.
        added: other tokens of their own.
        ends: text of the token that ends an answer, and of the one that ends a call where that is another.
        options: keyword arguments of the template (`data.apply_chat_template_kwargs`).
        text_arguments: the template joins the arguments of a call as text.
    """

    name: str
    template: str
    model_type: str
    format: str
    says: speech.Speech
    ends: tuple[str, ...]
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    bos: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    opener: str = ""
    text_arguments: bool = False

    def end_of(self, text: str) -> str:
        """The token a model ends `text` with."""
        called = self.says.marker in text.rpartition(self.says.thinks[1] if self.says.thinks else "<|end|>")[2]
        return self.ends[-1] if called else self.ends[0]

    def speaker(self, tokenizer: Any = None) -> Speaker:
        return Speaker(tokenizer or standin(self.name), self.model_type, self.end_of, self.opener)


def _family_list() -> list[Family]:
    hermes = speech.Hermes("<tool_call>", THINKING)
    coder = speech.QwenCoder("<tool_call>", THINKING)
    chatml = {"special": _CHATML, "ends": ("<|im_end|>",)}
    tags = ("<tool_call>", "</tool_call>")
    deepseek: dict[str, Any] = {
        "template": "deepseek.jinja", "model_type": "deepseek_v3", "format": "deepseek_v3", "bos": _DEEPSEEK[0],
        "ends": (_DEEPSEEK[1],), "special": _DEEPSEEK, "added": (*_DEEPSEEK_TOOLS, *_THINK), "text_arguments": True,
    }  # fmt: skip
    mistral = {"special": ("<s>", "</s>"), "bos": "<s>", "ends": ("</s>",), "format": "mistral"}
    return [
        Family("Qwen2.5", "qwen2_5.jinja", "qwen2", "hermes", speech.Hermes("<tool_call>"), added=tags, **chatml),
        Family("Qwen3", "qwen3.jinja", "qwen3", "hermes", hermes, added=(*tags, *_THINK), **chatml),
        Family("Qwen3, not thinking", "qwen3.jinja", "qwen3", "hermes", speech.Hermes("<tool_call>"),
               added=(*tags, *_THINK), options={"enable_thinking": False}, **chatml),
        Family("Qwen3.6", "qwen3_6.jinja", "qwen3_5", "qwen3_coder", coder, added=(*tags, *_THINK),
               opener="<think>\n", **chatml),
        Family("Qwen3-Coder style", "qwen3_6.jinja", "qwen3_moe", "qwen3_coder", speech.QwenCoder("<tool_call>"),
               added=(*tags, *_THINK), options={"enable_thinking": False}, **chatml),
        Family("SmolLM2", "chatml.jinja", "llama", "hermes", speech.Hermes("<tool_call>"), **chatml),
        Family("Llama 3.1", "llama3_1.jinja", "llama", "llama3_json", speech.Llama('{"name"'), ("<|eot_id|>",),
               special=("<|begin_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|start_header_id|>", "<|end_header_id|>",
                        "<|python_tag|>"), bos="<|begin_of_text|>"),
        Family("gpt-oss", "gpt_oss.jinja", "gpt_oss", "gpt-oss", speech.Harmony(" to=functions.", parallel=False),
               ("<|return|>", "<|call|>"), special=("<|start|>", "<|end|>", "<|message|>", "<|channel|>",
                                                    "<|constrain|>", "<|return|>", "<|call|>", "<|endoftext|>")),
        Family("Mistral Nemo", "mistral_nemo.jinja", "mistral", says=speech.Mistral("[TOOL_CALLS]"),
               **mistral | {"special": (*mistral["special"], "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
                                        "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")}),
        Family("Mistral, later", "mistral_args.jinja", "mistral3",
               says=speech.MistralArgs("[TOOL_CALLS]", ("[THINK]", "[/THINK]")),
               **mistral | {"special": (*mistral["special"], "[INST]", "[/INST]", "[TOOL_CALLS]", "[ARGS]", "[THINK]",
                                        "[/THINK]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
                                        "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")}),
        Family("DeepSeek-V3", says=speech.DeepSeek(_DEEPSEEK_TOOLS[0]), **deepseek),
        Family("DeepSeek-R1", says=speech.DeepSeek(_DEEPSEEK_TOOLS[0], THINKING), opener="<think>\n",
               **deepseek | {"options": {"thinking": True}}),
        Family("Phi-4-mini", "phi4_mini.jinja", "phi3", "phi4_mini", speech.Phi("<|tool_call|>"), ("<|end|>",),
               special=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
               added=("<|tool_call|>", "<|/tool_call|>", "<|tool|>", "<|/tool|>")),
        Family("GLM-4.5", "glm4_5.jinja", "glm4_moe", "glm", speech.Glm("<tool_call>", ("\n<think>", "</think>\n")),
               ("<|user|>", "<|observation|>"),
               special=("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
                        "<|endoftext|>"),
               added=(*tags, *_THINK, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "<tool_response>",
                      "</tool_response>")),
    ]  # fmt: skip


FAMILIES = {family.name: family for family in _family_list()}

REFUSED = {
    "Gemma 3": Family("Gemma 3", "no_tools.jinja", "gemma3_text", "hermes", speech.Hermes("<tool_call>"),
                      ("<end_of_turn>",), special=("<bos>", "<start_of_turn>", "<end_of_turn>"), bos="<bos>"),
    "Phi-3.5": Family("Phi-3.5", "drops_tools.jinja", "phi3", "hermes", speech.Hermes("<tool_call>"), ("<|end|>",),
                      special=("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")),
}  # fmt: skip
"""Families whose template cannot show a tool answer."""


@lru_cache(maxsize=1)
def _byte_level_bpe() -> str:
    """A byte-level BPE of 600 tokens, as JSON. The same text gives the same tokens on every machine."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        _CORPUS, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    return bpe.to_str()


@cache
def standin(name: str) -> Any:
    """The small tokenizer of a family, with its tokens and template."""
    family = {**FAMILIES, **REFUSED}[name]
    bpe = Tokenizer.from_str(_byte_level_bpe())
    bpe.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in family.special])
    bpe.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.added])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=family.ends[0],
        bos_token=family.bos,
        pad_token=family.special[0],
        chat_template=(HERE / family.template).read_text(),
    )
