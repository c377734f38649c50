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
        setting: `auto` closes an open thought and adds nothing else; `none` adds nothing, so that the letter may be
            read inside of a thought; anything else is a prefill, before which an open thought is closed unless the
            prefill closes it.

    Example:
        >>> answer_prefix_text("auto", "<|im_start|>assistant\\n<think>\\n")
        '\\n</think>\\n\\n'
    """
    if setting == NONE:
        return ""
    closer = open_thought(generation_prompt)
    prefill = "" if setting == AUTO else setting
    return prefill if closer is None or closer in prefill else f"\n{closer}\n\n{prefill}"
