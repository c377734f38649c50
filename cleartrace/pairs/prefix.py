"""What stands between the template's generation prompt and the letter (W6)."""

from __future__ import annotations

AUTO, NONE = "auto", "none"
THOUGHTS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "[THINK]": "[/THINK]",
    "<seed:think>": "</seed:think>",
    "◁think▷": "◁/think▷",
}
"""Tags that open and close a thought, by family."""
HEADERS = {"<|start|>assistant": "<|channel|>final<|message|>"}
"""Ends of generation prompts behind which the model first names a channel, and what leads to the answer (gpt-oss)."""


def open_thought(generation_prompt: str) -> str | None:
    """The closing tag that `generation_prompt` still wants, or None.

    Args:
        generation_prompt: only what the template itself writes at the end: a context may talk about tags.
    """
    for opener, closer in THOUGHTS.items():
        if generation_prompt.rfind(opener) > generation_prompt.rfind(closer):
            return closer
    return None


def answer_prefix_text(setting: str, generation_prompt: str) -> str:
    """Text to put behind the generation prompt.

    Args:
        setting: `auto` closes an open thought, or names the channel of answers, and adds nothing else; `none` adds
            nothing, so that the letter may be read inside of a thought; anything else is a prefill, before which
            the same is done unless the prefill does it.

    Example:
        >>> answer_prefix_text("auto", "<|im_start|>assistant\\n<think>\\n")
        '\\n</think>\\n\\n'
    """
    if setting == NONE:
        return ""
    prefill = "" if setting == AUTO else setting
    header = next((header for end, header in HEADERS.items() if generation_prompt.endswith(end)), "")
    if header and not prefill.startswith("<|"):
        return header + prefill
    closer = open_thought(generation_prompt)
    return prefill if closer is None or closer in prefill else f"\n{closer}\n\n{prefill}"
