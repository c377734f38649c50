"""What the three endpoints answer, in their own words, and how their requests are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.loopback import Asked

CALLS = (("look", {"q": "a"}), ("look", {"q": "b"}), ("write", {"text": "ü"}))


@dataclass(frozen=True)
class Dialect:
    provider: str
    path: str

    def spec(self, url: str) -> str:
        return f"{self.provider}/small@{url}{'/v1' if self.provider == 'openai' else ''}"

    def text(self, text: str, end: str = "") -> dict[str, Any]:
        return {
            "openai": lambda: _openai({"content": text}, end or "stop"),
            "anthropic": lambda: _anthropic([{"type": "text", "text": text}] if text else [], end or "end_turn"),
            "google": lambda: _google([{"text": text}] if text else [], end or "STOP"),
        }[self.provider]()

    def cut(self, text: str) -> dict[str, Any]:
        return self.text(text, {"openai": "length", "anthropic": "max_tokens", "google": "MAX_TOKENS"}[self.provider])

    def refused(self) -> dict[str, Any]:
        return self.text("", {"openai": "content_filter", "anthropic": "refusal", "google": "SAFETY"}[self.provider])

    def calls(self) -> dict[str, Any]:
        """A thought with its signature, a text, and three calls at once."""
        if self.provider == "openai":
            calls = [
                {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": _json(arguments)}}
                for i, (name, arguments) in enumerate(CALLS)
            ]
            message = {"content": "Looking.", "reasoning_content": "hm", "tool_calls": calls, "refusal": None}
            return _openai(message, "tool_calls")
        if self.provider == "anthropic":
            blocks = [
                {"type": "thinking", "thinking": "hm", "signature": "SIGNED"},
                {"type": "redacted_thinking", "data": "SECRET"},
                {"type": "text", "text": "Looking."},
                *(
                    {"type": "tool_use", "id": f"c{i}", "name": name, "input": arguments}
                    for i, (name, arguments) in enumerate(CALLS)
                ),
            ]
            return _anthropic(blocks, "tool_use")
        parts: list[dict[str, Any]] = [{"text": "hm", "thought": True}, {"text": "Looking."}]
        parts += [{"functionCall": {"name": name, "args": arguments}} for name, arguments in CALLS]
        parts[2]["thoughtSignature"] = "U0lHTkVE"
        return _google(parts, "STOP")

    def breaks_the_rules(self, asked: Asked) -> str:
        """Why the endpoint would refuse the history after `calls`; "" where it would not."""
        body = asked.body
        if self.provider == "openai":
            answer, *results = body["messages"][1:]
            calls = self.calls()["choices"][0]["message"]["tool_calls"]
            if answer.get("tool_calls") != calls or answer.get("reasoning_content") != "hm":
                return f"the answer came back changed: {answer}"
            ids, forced = [result["tool_call_id"] for result in results], body.get("tool_choice", "auto") != "auto"
        elif self.provider == "anthropic":
            answer, result = body["messages"][1:]
            if answer["content"] != self.calls()["content"]:
                return f"expected thinking blocks with their signatures, unchanged: {answer}"
            ids = [block["tool_use_id"] for block in result["content"]]
            forced = body.get("tool_choice", {"type": "auto"})["type"] != "auto"
        else:
            answer, result = body["contents"][1:]
            if answer["parts"] != self.calls()["candidates"][0]["content"]["parts"]:
                return f"a thought signature is missing: {answer}"
            names = [part["functionResponse"]["name"] for part in result["parts"]]
            ids = [f"c{i}" for i, (name, _) in enumerate(CALLS) if names[i] == name]
            forced = "toolConfig" in body
        if ids != ["c0", "c1", "c2"]:
            return f"every call wants its result, in order: {ids}"
        return "a tool choice is forced while thinking" if forced else ""


def _openai(message: dict[str, Any], end: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": end}
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
    return {"id": "1", "object": "chat.completion", "model": "small-1", "choices": [choice], "usage": usage}


def _anthropic(blocks: list[dict[str, Any]], end: str) -> dict[str, Any]:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 6, "cache_creation_input_tokens": 1, "output_tokens": 4}
    head = {"id": "1", "type": "message", "role": "assistant", "model": "small-1"}
    return {**head, "content": blocks, "stop_reason": end, "usage": usage}


def _google(parts: list[dict[str, Any]], end: str) -> dict[str, Any]:
    usage = {"promptTokenCount": 10, "cachedContentTokenCount": 6, "candidatesTokenCount": 3, "thoughtsTokenCount": 1}
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": end}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "small-1"}


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


DIALECTS = {
    "openai": Dialect("openai", "/chat/completions"),
    "anthropic": Dialect("anthropic", "/messages"),
    "google": Dialect("google", ":generateContent"),
}
