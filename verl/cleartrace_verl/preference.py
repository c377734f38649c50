"""Rows of failed and repaired calls in a step: which stay, and what advantages they get.

veRL copies the reward and the advantage of a rollout to every row its agent loop returned. Here a row enters the step
tagged as filler, with reward 0 and no token in the loss, so that no baseline and no metric of veRL counts it; its
advantages and its mask are written after veRL computed those of the rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta

from cleartrace.losses.options import NegativesConfig, Reference
from cleartrace.losses.selection import Candidate, choose
from cleartrace.losses.step import PairPush, PairScores, preference_metrics, push_pairs
from cleartrace_verl.batch import column, nested, real_keys
from cleartrace_verl.preference_rows import Role, RowNote
from cleartrace_verl.spliced import WEIGHTS
from cleartrace_verl.step_rules import is_left_out

TAG = "preference"


@dataclass(frozen=True)
class PairRows:
    """One pair by the keys of its rows. `good_key` is the rollout's own row for the shifts."""

    good_key: str
    failed_key: str
    good_span: slice
    failed_span: slice
    draw: float
    left_out: bool
    """The rollout is not learned from."""

    @property
    def keys(self) -> tuple[str, ...]:
        return self.good_key, self.failed_key


def admit(batch: KVBatchMeta, config: NegativesConfig) -> KVBatchMeta:
    """The batch with the pairs that fit the budgets; rows of the others are deleted.

    Call it before veRL fills the batch up. A rollout comes first, because veRL's filler copies the first row.
    """
    early = _early_keys(batch.keys)
    pairs = _pairs(str(batch.partition_id), early, shifts=config.mode.shifts)
    rows = {key for pair in pairs for key in pair.keys} & set(early)
    candidates = [
        Candidate(pair.failed_key.rsplit("_", 2)[0], pair.draw, pair.keys) for pair in pairs if not pair.left_out
    ]
    chosen = choose(candidates, per_group=config.max_per_group, per_step=config.max_per_step)
    kept = [key for candidate in chosen for key in candidate.keys if key in rows]
    if dropped := sorted(rows - set(kept)):
        tq.kv_clear(keys=dropped, partition_id=str(batch.partition_id))
    order = [key for key in batch.keys if key not in rows or key in kept]
    first = next((i for i, key in enumerate(order) if key not in rows), 0)
    admitted = batch.select_keys([order[first], *order[:first], *order[first + 1 :]] if order else [])
    return _as_filler(admitted, kept)


def extra_rows(batch: KVBatchMeta) -> list[str]:
    """Keys of the rows that `admit` kept."""
    return [key for key, tag in zip(batch.keys, batch.tags, strict=True) if tag.get(TAG)]


def apply_preferences(
    batch: KVBatchMeta, config: NegativesConfig, *, with_reference: bool, weighted: bool
) -> dict[str, float]:
    """Write the advantages and masks that the pairs of the step ask for, and return its preference metrics.

    Call it after advantages, weights and masks of the rollouts are final.

    Args:
        with_reference: veRL computed log-probs of a reference policy.
        weighted: rows have `rollout_is_weights`; those of the extra rows become 1.
    """
    partition, rollouts = str(batch.partition_id), len(real_keys(batch))
    extra = extra_rows(batch)
    pairs = _pairs(partition, extra, shifts=config.mode.shifts)
    if not pairs:
        return preference_metrics([], rollouts=rollouts, left_out=0)
    reference = "ref_log_prob" if with_reference and config.reference is Reference.MODEL else "old_log_probs"
    rows = _Rows.read(partition, sorted({key for pair in pairs for key in pair.keys}), reference)
    # A good call that a correction masked would leave the push away from the failed one alone.
    usable = [pair for pair in pairs if not config.mode.shifts or rows.trained(pair.good_key, pair.good_span)]
    loss_tokens = 0 if config.mode.shifts else _loss_tokens(partition, real_keys(batch))
    pushes = push_pairs([rows.scores(pair) for pair in usable], config, loss_tokens=loss_tokens)
    for pair, push in zip(usable, pushes, strict=True):
        rows.push(pair, push, extra)
    rows.write(partition, extra, weighted=weighted, count_tokens=config.count_tokens)
    return preference_metrics(pushes, rollouts=rollouts, left_out=len(pairs) - len(usable))


@dataclass
class _Rows:
    """Per-token fields of the rows that pairs touch, by key; advantages and masks are copies (D34)."""

    old: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]
    advantages: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]

    @classmethod
    def read(cls, partition: str, keys: Sequence[str], reference: str) -> _Rows:
        fields = {"old_log_probs", reference, "advantages", "response_mask"}
        data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=sorted(fields))

        def rows(name: str) -> dict[str, np.ndarray]:
            return {key: row.numpy().copy() for key, row in zip(keys, data[name].unbind(), strict=True)}

        return cls(rows("old_log_probs"), rows(reference), rows("advantages"), rows("response_mask"))

    def trained(self, key: str, span: slice) -> bool:
        return bool(self.masks[key][span].all())

    def scores(self, pair: PairRows) -> PairScores:
        good, failed = pair.good_key, pair.failed_key
        return PairScores(
            good=self.old[good][pair.good_span],
            failed=self.old[failed][pair.failed_span],
            good_reference=self.reference[good][pair.good_span],
            failed_reference=self.reference[failed][pair.failed_span],
            advantage=float(self.advantages[good][pair.good_span][0]),
        )

    def push(self, pair: PairRows, push: PairPush, extra: Sequence[str]) -> None:
        for key, span, value in (
            (pair.good_key, pair.good_span, push.good),
            (pair.failed_key, pair.failed_span, push.failed),
        ):
            self.advantages[key][span] += value
            if key in extra:
                self.masks[key][span] = 1

    def write(self, partition: str, extra: Sequence[str], *, weighted: bool, count_tokens: bool) -> None:
        """Advantages of all rows, and masks of the extra ones. Unless `count_tokens`, their `loss_mask` stays 0: the
        denominator of a token mean counts that one.
        """
        own = [key for key in self.advantages if key not in extra]
        added = [key for key in self.advantages if key in extra]
        fields = {"advantages": _rows(self.advantages, added), "response_mask": _rows(self.masks, added)}
        if count_tokens:
            fields["loss_mask"] = fields["response_mask"]
        if weighted:
            fields[WEIGHTS] = nested([torch.ones(len(self.masks[key])) for key in added])
        tq.kv_batch_put(keys=added, partition_id=partition, fields=TensorDict(fields, batch_size=len(added)))
        if own:
            moved = TensorDict({"advantages": _rows(self.advantages, own)}, batch_size=len(own))
            tq.kv_batch_put(keys=own, partition_id=partition, fields=moved)


def _rows(values: dict[str, np.ndarray], keys: Sequence[str]) -> torch.Tensor:
    return nested([torch.from_numpy(values[key]) for key in keys])


def _early_keys(keys: Sequence[str]) -> list[str]:
    """Keys that are not the last of their session; a key is {prompt}_{rollout}_{index}."""
    last: dict[str, int] = {}
    for key in keys:
        session, _, index = key.rpartition("_")
        last[session] = max(last.get(session, 0), int(index))
    return [key for key in keys if int(key.rpartition("_")[2]) < last[key.rpartition("_")[0]]]


def _pairs(partition: str, keys: Sequence[str], *, shifts: bool) -> list[PairRows]:
    """Pairs whose rows are among `keys`; rows of other multi-output agent loops carry no note and are passed over."""
    if not keys:
        return []
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=["extra_fields"])
    notes: dict[tuple[str, int], dict[str, tuple[str, RowNote, bool]]] = {}
    for key, fields in zip(keys, column(data, "extra_fields"), strict=True):
        if (note := RowNote.of(fields)) is not None:
            pair = notes.setdefault((key.rpartition("_")[0], note.pair), {})
            pair[note.role] = key, note, is_left_out(fields)
    return [_pair(session, roles, shifts) for (session, _), roles in notes.items()]


def _pair(session: str, roles: dict[str, tuple[str, RowNote, bool]], shifts: bool) -> PairRows:
    failed_key, note, left_out = roles[Role.FAILED.value]
    good_key = f"{session}_{note.main_index}" if shifts else roles[Role.GOOD.value][0]
    good, failed = slice(note.main_start, note.main_end), slice(note.start, note.end)
    return PairRows(good_key, failed_key, good, failed, note.draw, left_out)


def _as_filler(batch: KVBatchMeta, keys: Sequence[str]) -> KVBatchMeta:
    """Tag rows as veRL tags its filler, so that nothing counts them, and take the copied reward from them."""
    if not keys:
        return batch
    tags = dict(zip(batch.keys, batch.tags, strict=True))
    for key in keys:
        tags[key] = {**tags[key], "is_padding": True, TAG: True}
    scores = nested([torch.zeros(tags[key]["response_len"]) for key in keys])
    tq.kv_batch_put(
        keys=list(keys),
        partition_id=str(batch.partition_id),
        fields=TensorDict({"rm_scores": scores}, batch_size=len(keys)),
        tags=[tags[key] for key in keys],
    )
    batch.tags = [tags[key] for key in batch.keys]
    return batch


def _loss_tokens(partition: str, keys: Sequence[str]) -> int:
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=["loss_mask"])
    return int(sum(row.sum() for row in data["loss_mask"].unbind()))
