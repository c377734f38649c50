"""What an agent's commands do to files."""

from __future__ import annotations

import re

FENCE = re.compile(r"(?P<open>```[\w-]*\n)(?P<body>.*?)(?P<close>\n?```)", re.DOTALL)
_XML_CALL = re.compile(r"<function=(?P<name>[\w.]+)>.*?</function>", re.DOTALL)
_LINE_EDIT = re.compile(r"^edit \d+:\d+\n.*?^end_of_edit", re.DOTALL | re.MULTILINE)

_WRITES = (
    r"\bsed\b[^|;&\n]*\s-(?:[a-zA-Z]*i|-in-place)",
    r"\bperl\b[^|;&\n]*\s-[a-zA-Z]*i",
    r"\b(?:apply_patch|edit_via_str_replace|applypatch)\b",
    r"\bgit\s+apply\b",
    r"\bpatch\s+(?:-|<|\S+\.(?:patch|diff))",
    r"<<-?\s*['\"\\]?\w+['\"]?[^\n]*>{1,2}\s*[\w./~$\"'-]",
    r"(?<![<>&\d=-])>{1,2}\s*(?!/dev/|&)[\w./~$\"'-][^\n]*<<",
    r"\b(?:echo|printf|cat)\b[^\n]*(?<![<>&\d=-])>{1,2}\s*(?!/dev/|&)[\w./~$\"'-]",
    r"\btee\b",
    r"\bed\s+(?:-s\s+)?[\w./-]+\s*<<",
    r"\bopen\([^)\n]*,\s*(?:mode\s*=\s*)?['\"](?:w|a|x|r\+)",
    r"\.(?:write|writelines|write_text|write_bytes)\(",
    r"\bstr_replace(?:_editor|_based_edit_tool)?\s+(?:str_replace|create|insert)\b",
)
_EDIT = re.compile("|".join(_WRITES))
_EDITOR_CALL = re.compile(r"<parameter=command>\s*(?:str_replace|create|insert|undo_edit)\s*</parameter>")


def is_edit(command: str) -> bool:
    """Whether a shell command writes a file: in-place sed, heredocs, editors, one-liners that open for writing.

    Example:
        >>> is_edit("sed -i 's/a/b/' f.py"), is_edit("sed -n '1,9p' f.py"), is_edit("cat > f.py <<'EOF'")
        (True, False, True)
    """
    return bool(_EDIT.search(command))


def replace_edits(text: str, placeholder: str) -> tuple[str, int]:
    """An assistant's message with every editing call replaced, and how many there were."""
    count = 0

    def fence(found: re.Match[str]) -> str:
        nonlocal count
        if not is_edit(found["body"]):
            return found[0]
        count += 1
        return f"{found['open']}{placeholder}{found['close']}"

    def call(found: re.Match[str]) -> str:
        nonlocal count
        body = found[0]
        if not (_EDITOR_CALL.search(body) or is_edit(body)):
            return body
        count += 1
        return placeholder

    def always(_: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return placeholder

    text = _LINE_EDIT.sub(always, text)
    text = _XML_CALL.sub(call, text)
    return FENCE.sub(fence, text), count


def count_edits(text: str) -> int:
    return replace_edits(text, "")[1]
