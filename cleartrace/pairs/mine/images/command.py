"""`cleartrace pairs mine-images` and `cleartrace pairs edit-images`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from cleartrace.cli_errors import errors_in_words

KEY_VARIABLE = "OPENAI_API_KEY"
COLLECTION = typer.Argument(help="Rows of id, image, question, answer, group, source: JSON lines or parquet.")
OUT = typer.Argument(help="File of pairs to write: JSON lines or parquet.")
CHAT_URL = typer.Option("--chat", help="OpenAI-compatible endpoint of a chat model that sees pictures.")


def _clear_errors() -> AbstractContextManager[None]:
    from cleartrace.llm.http import EndpointUnavailable, RequestRefused
    from cleartrace.pairs.mine.images.prompts import UnreadableReply

    return errors_in_words(ValueError, EndpointUnavailable, RequestRefused, UnreadableReply)


def mine_images(
    collection: Annotated[Path, COLLECTION],
    out: Annotated[Path, OUT],
    threshold: Annotated[float, typer.Option(min=-1, max=1, help="Least cosine of two pictures.")] = 0.85,
    k: Annotated[int, typer.Option(min=1, help="Nearest pictures on either side.")] = 20,
    cap: Annotated[int, typer.Option(min=1, help="Matches that one picture may be part of.")] = 2,
    components: Annotated[int, typer.Option(min=0, help="Length that vectors are reduced to; 0: not at all.")] = 128,
    embeddings: Annotated[
        str | None, typer.Option("--embeddings", help="Endpoint of an embedding model; without it, small thumbnails.")
    ] = None,
    embedding_model: Annotated[str, typer.Option(help="Its name.")] = "Qwen/Qwen3-VL-Embedding-8B",
    chat: Annotated[str | None, CHAT_URL] = None,
    chat_model: Annotated[str | None, typer.Option(help="The judge. Default: the only model of the endpoint.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 8,
) -> None:
    """Pairs from pictures that look alike, with the same question and different answers. Goes on after a kill."""
    from cleartrace.llm.http import Endpoint
    from cleartrace.pairs.mine.images.api import ChatVision, EndpointEmbedder
    from cleartrace.pairs.mine.images.embed import ThumbnailEmbedder
    from cleartrace.pairs.mine.images.judging import ChatJudge
    from cleartrace.pairs.mine.images.mining import mine_pairs
    from cleartrace.pairs.mine.images.question import read_questions
    from cleartrace.pairs.mine.images.retrieval import RetrievalSettings
    from cleartrace.pairs.mine.images.shown import counting, show_funnel

    key = os.environ.get(KEY_VARIABLE)
    with _clear_errors():
        questions = list(read_questions(collection))
        if len(questions) < 2:
            raise ValueError(f"{collection} has {len(questions)} rows; retrieval needs two or more")
        judge, judge_name = None, "none"
        if chat:
            seeing = ChatVision(endpoint := Endpoint(chat, key=key), chat_model or endpoint.only_model("--chat-model"))
            judge, judge_name = ChatJudge(seeing), f"{seeing.model}@{endpoint.url}"
        embedder = ThumbnailEmbedder()
        if embeddings:
            embedder = EndpointEmbedder(Endpoint(embeddings, key=key), embedding_model, workers)
        total = len({question.image for question in questions})
        with counting("embedded", total) as embedded, counting("searched", total) as searched:
            funnel = mine_pairs(
                questions,
                out,
                embedder,
                RetrievalSettings(threshold, k, cap),
                judge,
                judge_name=judge_name,
                components=components,
                workers=workers,
                embedded=embedded,
                searched=searched,
            )
    show_funnel(out, funnel)


def edit_images(
    collection: Annotated[Path, COLLECTION],
    out: Annotated[Path, OUT],
    chat: Annotated[str, CHAT_URL],
    images: Annotated[str, typer.Option("--images", help="OpenAI-compatible endpoint with /images/edits.")],
    image_model: Annotated[str, typer.Option(help="Name of the image model.")],
    chat_model: Annotated[str | None, typer.Option(help="Default: the only model of the endpoint.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Questions at a time.")] = 4,
) -> None:
    """Pairs by edits: a chat model proposes, an image model edits, the chat model checks five criteria."""
    from cleartrace.llm.http import Endpoint
    from cleartrace.pairs.mine.images.api import ChatVision, EndpointEditor, EndpointVerifier
    from cleartrace.pairs.mine.images.edits import edit_pairs
    from cleartrace.pairs.mine.images.question import read_questions
    from cleartrace.pairs.mine.images.shown import counting, show_funnel

    key = os.environ.get(KEY_VARIABLE)
    with _clear_errors():
        questions = list(read_questions(collection))
        seeing = ChatVision(endpoint := Endpoint(chat, key=key), chat_model or endpoint.only_model("--chat-model"))
        settings = {"chat": endpoint.url, "chat_model": seeing.model, "images": images, "image_model": image_model}
        painting = Endpoint(images, key=key, timeout_s=300.0, patience_s=600.0)
        editor = EndpointEditor(seeing, painting, image_model)
        with counting("edited", len(questions)) as progress:
            funnel = edit_pairs(questions, editor, EndpointVerifier(seeing), out, settings, workers, progress)
    show_funnel(out, funnel)
