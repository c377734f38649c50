"""How models of each format write a turn: thought, calls, answer. What the scripted engine says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

TOOL = "code_interpreter"


def arguments(code: str) -> str:
    return json.dumps({"code": code}, ensure_ascii=False)


@dataclass(frozen=True)
class Speech:
    """One format. `thinks` is the pair of tags around a thought, or None for a model that does not think aloud.

    A marker that the model mentions in a thought is `marker`; where it does not think, it never mentions one.
    """

    marker: str
    thinks: tuple[str, str] | None = None
    parallel: bool = True

    def thought(self, text: str, mention: bool = True) -> str:
        if not self.thinks:
            return ""
        return f"{self.thinks[0]}{text}{' Or ' + self.marker + '?' if mention else ''}{self.thinks[1]}"

    def calls(self, codes: Sequence[str]) -> str:
        raise NotImplementedError

    def broken(self) -> str:
        """A call that opens and cannot be read."""
        whole = self.calls(["print(1)"])
        return whole.replace('"code"', "'code'", 1)

    def turn(self, thought: str, codes: Sequence[str]) -> str:
        return self.thought(thought) + self.calls(codes)

    def answer(self, text: str) -> str:
        return self.thought("Done.", mention=False) + text


class Hermes(Speech):
    def calls(self, codes: Sequence[str]) -> str:
        return "\n".join(
            f'<tool_call>\n{{"name": "{TOOL}", "arguments": {arguments(code)}}}\n</tool_call>' for code in codes
        )


class QwenCoder(Speech):
    def calls(self, codes: Sequence[str]) -> str:
        return "\n".join(
            f"<tool_call>\n<function={TOOL}>\n<parameter=code>\n{code}\n</parameter>\n</function>\n</tool_call>"
            for code in codes
        )

    def broken(self) -> str:
        return self.calls(["print(1)"]).replace("</parameter>", "")


class Glm(Speech):
    def calls(self, codes: Sequence[str]) -> str:
        return "\n".join(
            f"<tool_call>{TOOL}\n<arg_key>code</arg_key>\n<arg_value>{code}</arg_value>\n</tool_call>" for code in codes
        )

    def broken(self) -> str:
        return self.calls(["print(1)"]).replace("</arg_value>", "")


class Llama(Speech):
    def calls(self, codes: Sequence[str]) -> str:
        return "; ".join(f'{{"name": "{TOOL}", "parameters": {arguments(code)}}}' for code in codes)


@dataclass(frozen=True)
class Mistral(Speech):
    """`ids` are drawn by the model: nine letters and digits."""

    ids: tuple[str, ...] = field(default=("Abc123xyz", "Def456uvw", "Ghi789rst"))

    def calls(self, codes: Sequence[str]) -> str:
        listed = [
            f'{{"name": "{TOOL}", "arguments": {arguments(code)}, "id": "{call_id}"}}'
            for code, call_id in zip(codes, self.ids, strict=False)
        ]
        return f"[TOOL_CALLS][{', '.join(listed)}]"


class MistralArgs(Speech):
    def calls(self, codes: Sequence[str]) -> str:
        return "".join(f"[TOOL_CALLS]{TOOL}[ARGS]{arguments(code)}" for code in codes)


class DeepSeek(Speech):
    def calls(self, codes: Sequence[str]) -> str:
        listed = [
            f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{TOOL}\n```json\n{arguments(code)}\n```<｜tool▁call▁end｜>"
            for code in codes
        ]
        return "<｜tool▁calls▁begin｜>" + "\n".join(listed) + "<｜tool▁calls▁end｜>"


class Phi(Speech):
    def calls(self, codes: Sequence[str]) -> str:
        listed = [
            f'{{"type": "function", "function": {{"name": "{TOOL}", "arguments": {arguments(code)}}}}}'
            for code in codes
        ]
        return f"<|tool_call|>[{', '.join(listed)}]<|/tool_call|>"


class Harmony(Speech):
    """The prompt ends with `<|start|>assistant`; a call ends the turn, so there is one at most."""

    def thought(self, text: str, mention: bool = True) -> str:
        body = f"{text} Perhaps {self.marker}." if mention else text
        return f"<|channel|>analysis<|message|>{body}<|end|><|start|>assistant"

    def calls(self, codes: Sequence[str]) -> str:
        (code,) = codes
        header = f"<|channel|>commentary to=functions.{TOOL} <|constrain|>json<|message|>"
        return header + arguments(code)

    def answer(self, text: str) -> str:
        return self.thought("Done.", mention=False) + f"<|channel|>final<|message|>{text}"
