"""Editor, verifier, judge and embedder behind OpenAI-compatible endpoints (vLLM, SGLang, a hosted model)."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cleartrace.llm.http import Endpoint, RequestRefused
from cleartrace.pairs.make.scenes.scene import Box
from cleartrace.pairs.mine.images import prompts
from cleartrace.pairs.mine.images.editing import Edit, NoEdit, Verdict
from cleartrace.pairs.mine.images.question import ImageQuestion

MAX_TOKENS = 1024


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def image_part(image: Image.Image) -> dict[str, Any]:
    """A content part of a chat message."""
    url = "data:image/png;base64," + base64.b64encode(png(image)).decode()
    return {"type": "image_url", "image_url": {"url": url}}


@dataclass(frozen=True)
class ChatVision:
    """A chat model that sees pictures."""

    endpoint: Endpoint
    model: str

    def ask(self, text: str, *images: Image.Image) -> dict[str, Any]:
        """The JSON object of the reply. Raises UnreadableReply, RequestRefused or EndpointUnavailable."""
        content = [*map(image_part, images), {"type": "text", "text": text}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0.0,
            "max_tokens": MAX_TOKENS,
        }
        answer, _ = self.endpoint.send("POST", "/chat/completions", body)
        try:
            reply = answer["choices"][0]["message"]["content"] or ""
        except (KeyError, IndexError, TypeError):
            raise prompts.UnreadableReply(f"not the answer of a chat completion: {str(answer)[:200]}") from None
        return prompts.last_object(reply)


@dataclass(frozen=True)
class EndpointEditor:
    """A chat model proposes the edit, an image model makes it (`/images/edits`)."""

    planner: ChatVision
    images: Endpoint
    model: str

    def edit(self, question: ImageQuestion, image: Image.Image) -> Edit:
        """Raises NoEdit where the planner proposes none or a request is refused."""
        try:
            text = prompts.PROPOSE.format(question=question.question, answer=question.answer)
            plan = self.planner.ask(text, image)
            instruction, answer = plan.get("instruction"), plan.get("answer")
            if not instruction or not answer:
                raise NoEdit("the planner proposes no edit")
            form = {"model": self.model, "prompt": prompts.EDIT.format(instruction=instruction), "n": "1"}
            form |= {"response_format": "b64_json"}
            reply = self.images.send_form("/images/edits", form, {"image": ("image.png", png(image), "image/png")})
            edited = Image.open(io.BytesIO(base64.b64decode(reply["data"][0]["b64_json"]))).convert("RGB")
        except (prompts.UnreadableReply, RequestRefused) as error:
            raise NoEdit(str(error)) from error
        except (KeyError, IndexError, TypeError, binascii.Error, OSError) as error:
            raise NoEdit(f"the image endpoint gave no picture ({type(error).__name__}: {error})") from error
        if edited.size != image.size:
            edited = edited.resize(image.size, Image.Resampling.LANCZOS)
        return Edit(edited, str(answer), str(instruction), _pixel_box(plan.get("box"), image.size))


@dataclass(frozen=True)
class EndpointVerifier:
    """A chat model judges the five criteria."""

    chat: ChatVision

    def verify(self, question: ImageQuestion, image: Image.Image, edit: Edit) -> Verdict:
        """An edit about which the model says nothing readable fails all criteria: nothing is kept unjudged."""
        text = prompts.verify_prompt(question.question, question.answer, edit.answer, edit.instruction)
        try:
            reply = self.chat.ask(text, image, edit.image)
            return Verdict(prompts.failed_criteria(reply), str(reply.get("reason", "")))
        except (prompts.UnreadableReply, RequestRefused) as error:
            return Verdict(tuple(prompts.CRITERIA), f"not judged: {error}")


@dataclass(frozen=True)
class EndpointEmbedder:
    """A multimodal embedding model, asked as vLLM serves it: one chat message with a picture per request."""

    endpoint: Endpoint
    model: str
    workers: int = 8

    @property
    def name(self) -> str:
        return f"{self.model}@{self.endpoint.url}"

    def embed(self, paths: Sequence[Path]) -> np.ndarray:
        """Errors: ValueError for a picture or an answer that cannot be read."""
        with ThreadPoolExecutor(self.workers) as pool:
            return np.stack(list(pool.map(self._one, paths)))

    def _one(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path) as opened:
                part = image_part(opened.convert("RGB"))
        except OSError as error:
            raise ValueError(f"cannot read the image {path} ({error})") from None
        body = {"model": self.model, "messages": [{"role": "user", "content": [part]}], "encoding_format": "float"}
        answer, _ = self.endpoint.send("POST", "/embeddings", body)
        try:
            return np.asarray(answer["data"][0]["embedding"], dtype=np.float32)
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"{self.endpoint.url}/embeddings gave no vector for {path}: {str(answer)[:200]}") from None


def _pixel_box(fractions: Any, size: tuple[int, int]) -> Box | None:
    """A box of fractions in pixels, rounded outwards; None where the planner gave none that makes sense."""
    try:
        left, top, right, bottom = (float(value) for value in fractions)
    except (TypeError, ValueError):
        return None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        return None
    width, height = size
    return Box(int(left * width), int(top * height), -int(-right * width // 1), -int(-bottom * height // 1))
