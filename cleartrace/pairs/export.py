"""The two baselines that train on pairs as ordinary data, with the prompts of the contrastive run byte for byte.

DA-SFT: rows of messages for veRL's `MultiTurnSFTDataset`. DA-RL: rows for veRL's RLHF data set and its single-turn
agent, graded by the source `context_selection`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleartrace.data.files import write_rows
from cleartrace.data.prepared import PreparedRow
from cleartrace.data.prepared import schema as task_schema
from cleartrace.data.rows import sample_id_of
from cleartrace.pairs.order import OrderPolicy, orders_of
from cleartrace.pairs.prompt import LETTERS, PairPrompt, render
from cleartrace.pairs.record import Order, Pair, PairKind
from cleartrace.pairs.stream import Draw, PairStream
from cleartrace.rewards.selection import LETTERS as GRADED
from cleartrace.rewards.selection import SOURCE

if TYPE_CHECKING:
    import pyarrow as pa

AGENT = "single_turn_agent"
PROFILE = "context_selection_notool"
"""The prompt filter counts no tool for profiles of this ending."""
PLACEHOLDER = "<image>"
_PLACEHOLDERS = (PLACEHOLDER, "<video>", "<audio>")


class ExportError(ValueError):
    """Pairs that cannot become rows of the wanted form."""


def asked(pairs: Sequence[Pair], policy: OrderPolicy, seed: int) -> Iterator[tuple[Pair, Order]]:
    """Each pair, in the order of the file, with the order of contexts a run of this seed would first ask it in.

    Under `both` each pair comes twice.
    """
    places = _places(len(pairs), policy, seed)
    for index, pair in enumerate(pairs):
        for order in orders_of(policy, pair, Draw(index, 0, places[index]), seed):
            yield pair, order


def _places(n: int, policy: OrderPolicy, seed: int) -> list[int]:
    """Place of each pair in the first epoch. Only `balanced` looks at it."""
    if policy is not OrderPolicy.BALANCED:
        return list(range(n))
    epoch = PairStream(n, n + n % 2, seed, balanced=True).batch(0)[:n]
    return [draw.position for draw in sorted(epoch, key=lambda draw: draw.index)]


def export_sft(
    pairs: Sequence[Pair],
    path: Path,
    *,
    policy: OrderPolicy = OrderPolicy.RANDOM,
    seed: int = 42,
    letters: tuple[str, str] = LETTERS,
    prefill: str = "",
    include_issue: bool = False,
) -> int:
    """Write the DA-SFT parquet file: conversations whose one answer is the letter. Returns the number of rows.

    Args:
        prefill: stands before the letter, where the contrastive run reads the letter behind such an `answer_prefix`.

    Errors: `ExportError`; `ValueError` for pairs that cannot be rendered or have no order under `fixed`.
    """
    import pyarrow as pa

    multimodal = _multimodal(pairs)

    def row(pair: Pair, order: Order) -> dict[str, Any]:
        prompt = render(pair, order, letters, include_issue=include_issue)
        answer = {"role": "assistant", "content": prefill + prompt.correct}
        told = [*_texts(pair, prompt, multimodal), answer]
        return {"messages": told, "pair_id": pair.id, **_images(prompt, multimodal)}

    schema = pa.schema([("messages", task_schema().field("prompt").type), ("pair_id", pa.string())])
    rows = (row(pair, order) for pair, order in asked(pairs, policy, seed))
    return write_rows(path, rows, _with_image_column(schema, multimodal))


def export_rl(
    pairs: Sequence[Pair],
    path: Path,
    *,
    policy: OrderPolicy = OrderPolicy.RANDOM,
    seed: int = 42,
    letters: tuple[str, str] = LETTERS,
    include_issue: bool = False,
) -> int:
    """Write the DA-RL parquet file: tasks whose key is the letter. Returns the number of rows.

    The columns are those of prepared tasks, so that a run can be given both files.

    Errors: as `export_sft`.
    """
    if any(letter not in GRADED for letter in letters):
        raise ExportError(f"the letters {' and '.join(letters)} cannot be graded; use two of {GRADED}")
    multimodal = _multimodal(pairs)
    rows = (
        _rl_row(pair, order, render(pair, order, letters, include_issue=include_issue), index, multimodal)
        for index, (pair, order) in enumerate(asked(pairs, policy, seed))
    )
    return write_rows(path, rows, _with_image_column(task_schema(), multimodal))


def _rl_row(pair: Pair, order: Order, prompt: PairPrompt, index: int, multimodal: bool) -> dict[str, Any]:
    row = PreparedRow(
        data_source=SOURCE,
        messages=_texts(pair, prompt, multimodal),
        ground_truth=prompt.correct,
        sample_id=sample_id_of(SOURCE, f"{pair.id} {order.value}", prompt.correct),
        question=f"{pair.id} {order.value}: {pair.question}",
        question_id=pair.id,
    )
    return {**row.for_verl(AGENT, profile=PROFILE, index=index), **_images(prompt, multimodal)}


def _multimodal(pairs: Sequence[Pair]) -> bool:
    """Whether the file has a column of images: where it has one, veRL looks for placeholders in every text."""
    if not pairs:
        raise ExportError("there is no pair to export")
    return any(pair.images or pair.kind is PairKind.IMAGE for pair in pairs)


def _with_image_column(schema: pa.Schema, multimodal: bool) -> pa.Schema:
    import pyarrow as pa

    column = pa.field("images", pa.list_(pa.struct({"image": pa.string()})))
    return schema.append(column) if multimodal else schema


def _images(prompt: PairPrompt, multimodal: bool) -> dict[str, Any]:
    return {"images": [{"image": image.path} for image in prompt.images]} if multimodal else {}


def _texts(pair: Pair, prompt: PairPrompt, multimodal: bool) -> list[dict[str, str]]:
    """Messages as veRL's data sets want them: a text in which `<image>` stands for each image."""
    told = []
    for message in prompt.messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if multimodal:
            _refuse_placeholders(pair, parts)
        text = "".join(PLACEHOLDER if part["type"] == "image" else part["text"] for part in parts)
        told.append({"role": message["role"], "content": text})
    return told


def _refuse_placeholders(pair: Pair, parts: Sequence[dict[str, str]]) -> None:
    for placeholder in _PLACEHOLDERS:
        if any(placeholder in part.get("text", "") for part in parts):
            raise ExportError(
                f"pair {pair.id}: its text says {placeholder}, which veRL would take for a medium; reword it, or "
                "export pairs without images to a file of their own"
            )
