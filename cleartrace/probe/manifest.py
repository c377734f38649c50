"""Which pairs a probe asks, in which first order, and the hashes that make two probes the same one."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cleartrace.data.errors import DataError
from cleartrace.pairs.record import Context, ImageRef, Order, Pair, PairKind


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Frozen):
    """One sampled pair. `sha256`: of its content, image bytes included, and not of where it lies."""

    id: str
    kind: PairKind
    source: str
    group: str
    first_order: Order
    sha256: str


class Manifest(_Frozen):
    """The rows of a probe, and what was left out on the way.

    Args:
        held_out: pairs dropped because their group is in the training pairs.
        short: per kind, how many pairs fewer than asked for there were.
    """

    schema_version: int = 1
    seed: int
    per_kind: int
    rows: tuple[Row, ...]
    held_out: int = 0
    short: dict[str, int] = {}

    @property
    def sha256(self) -> str:
        """Hash over all rows in order."""
        return _sha256("\n".join(f"{row.sha256} {row.first_order.value}" for row in self.rows))

    def as_dict(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json"), "sha256": self.sha256}


def select(
    pairs: Sequence[Pair], *, per_kind: int = 200, seed: int = 0, training_groups: Iterable[str] = ()
) -> tuple[Manifest, list[Pair]]:
    """Sample up to `per_kind` pairs of every kind there is, spread over groups; the same input gives the same sample.

    Groups take turns, so that one large repository cannot fill the probe, and the two directions of a pair come
    together, so that no rule on contexts alone can win. Half of the rows of a kind begin with the supporting context.

    Args:
        training_groups: groups that a model has been trained on; their pairs are dropped and counted.

    Raises:
        DataError: two pairs share an id, or nothing is left.
    """
    _require_unique(pairs)
    trained = set(training_groups)
    free = [pair for pair in pairs if pair.group not in trained]
    if not free:
        raise DataError("probe", f"none of {len(pairs)} pairs is held out from the training pairs: give other pairs")
    rows: list[Row] = []
    chosen: list[Pair] = []
    short: dict[str, int] = {}
    for kind in PairKind:
        mine = [pair for pair in free if pair.kind is kind]
        taken = _take(mine, per_kind, seed)
        if mine and len(taken) < per_kind:
            short[kind.value] = per_kind - len(taken)
        rows += _rows(taken, seed)
        chosen += taken
    held_out = len(pairs) - len(free)
    return Manifest(seed=seed, per_kind=per_kind, rows=tuple(rows), held_out=held_out, short=short), chosen


def replay(manifest: Manifest, pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs of an earlier manifest, checked against its hashes.

    Raises:
        DataError: a row is missing or its content is another.
    """
    _require_unique(pairs)
    by_id = {pair.id: pair for pair in pairs}
    if missing := [row.id for row in manifest.rows if row.id not in by_id]:
        raise DataError("probe", f"{len(missing)} pairs of the manifest are not in the files, such as {missing[0]}")
    for row in manifest.rows:
        if row_hash(by_id[row.id]) != row.sha256:
            raise DataError("probe", f"pair {row.id} is not the one of the manifest: its SHA-256 differs")
    return [by_id[row.id] for row in manifest.rows]


def read_manifest(path: Path) -> Manifest:
    """Raises DataError for a file that is no manifest, or whose rows were changed since."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        total = fields.pop("sha256")
        manifest = Manifest.model_validate(fields)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(path, f"not a probe manifest ({error})") from None
    if manifest.sha256 != total:
        raise DataError(path, "its rows do not have the SHA-256 that it names: take the file as it was written")
    return manifest


def row_hash(pair: Pair) -> str:
    """SHA-256 of a pair's content. An image counts by its bytes, so that a moved folder is the same probe."""
    fields = pair.model_dump(mode="json")
    fields |= {name: _content(getattr(pair, name)) for name in ("pos", "neg")}
    fields["images"] = [_content(image) for image in pair.images]
    return _sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False))


def image_hash(image: ImageRef) -> str:
    """SHA-256 of an image file. Raises DataError when it cannot be read."""
    return _file_hash(image.path)


@lru_cache(maxsize=4096)
def _file_hash(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(path, f"the image cannot be read ({error.strerror})") from None


def _content(context: Context) -> Any:
    if isinstance(context, ImageRef):
        return {"sha256": image_hash(context)}
    return context if isinstance(context, str) else [message.model_dump() for message in context]


def _take(pairs: Sequence[Pair], n: int, seed: int) -> list[Pair]:
    """Groups in hashed order, one family of each in turn, until n pairs are there."""
    groups: dict[str, dict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        groups[pair.group][_family(pair)].append(pair)

    def rank(name: str) -> str:
        return _sha256(f"{seed}\n{name}")

    queues = [
        [sorted(families[name], key=lambda pair: pair.id) for name in sorted(families, key=rank)]
        for _, families in sorted(groups.items(), key=lambda item: rank(item[0]))
    ]
    taken: list[Pair] = []
    for turn in range(max(map(len, queues), default=0)):
        for queue in queues:
            if turn < len(queue) and len(taken) < n:
                taken += queue[turn][: n - len(taken)]
    return taken


def _family(pair: Pair) -> str:
    """One name for all pairs over the same question and the same two contexts, in either role."""
    sides = sorted(json.dumps(_content(side), ensure_ascii=False) for side in (pair.pos, pair.neg))
    images = [image_hash(image) for image in pair.images]
    return _sha256(json.dumps([pair.question, images, *sides], ensure_ascii=False))


def _rows(pairs: Sequence[Pair], seed: int) -> list[Row]:
    by_draw = sorted(pairs, key=lambda pair: _sha256(f"{seed}\norder\n{pair.id}"))
    reversed_ids = {pair.id for pair in by_draw[: len(pairs) // 2]}
    return [
        Row(
            id=pair.id,
            kind=pair.kind,
            source=pair.source,
            group=pair.group,
            first_order=Order.CONFOUNDING_FIRST if pair.id in reversed_ids else Order.SUPPORTING_FIRST,
            sha256=row_hash(pair),
        )
        for pair in pairs
    ]


def _require_unique(pairs: Iterable[Pair]) -> None:
    seen: set[str] = set()
    for pair in pairs:
        if pair.id in seen:
            raise DataError("probe", f"two pairs have the id {pair.id}: ids must be unique over all files")
        seen.add(pair.id)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
