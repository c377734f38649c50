"""Letter logits: as a plain forward pass gives them, for text and images, through a narrow LM head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from make_probe import image_pairs, text_pairs, tiny_text_model, tokenizer

from cleartrace.pairs.encode import EncodedPair
from cleartrace.pairs.record import Order
from cleartrace.probe.collate import batches
from cleartrace.probe.local import load_scorer
from cleartrace.probe.scorer import LogitScorer
from recipe.contextrl.tiny.build import Family, build


@pytest.fixture(scope="module")
def scorer() -> LogitScorer:
    return LogitScorer(tiny_text_model(), tokenizer(), batch_tokens=1500)


def rows_of(scorer: LogitScorer, n: int = 6) -> list[EncodedPair]:
    pairs = [pair.model_copy(update={"question": pair.question * (1 + i)}) for i, pair in enumerate(text_pairs(n))]
    return [scorer.encode(pair, order) for pair in pairs for order in Order]


def plain_logits(model: Any, row: EncodedPair) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([row.input_ids]), **(row.mm or {})).logits[0, -1].float()


def test_margins_are_those_of_a_plain_forward_pass(scorer: LogitScorer) -> None:
    rows = rows_of(scorer)
    for row, reading in zip(rows, scorer.read(rows), strict=True):
        logits = plain_logits(scorer.model, row)
        probabilities = logits.softmax(0)
        (first,), (second,) = row.first_ids, row.second_ids
        assert reading.margin == pytest.approx(float(logits[first] - logits[second]), abs=1e-4)
        assert reading.mass == pytest.approx(float(probabilities[first] + probabilities[second]), rel=1e-3)
    assert len({round(reading.margin, 3) for reading in scorer.read(rows)}) > 6


def test_w5_spellings_are_joined_by_log_sum_exp(scorer: LogitScorer) -> None:
    (row,) = rows_of(scorer, 1)[:1]
    several = EncodedPair(row.pair_id, row.order, row.input_ids, (5, 6), (7, 8), True)
    logits = plain_logits(scorer.model, row)
    expected = logits[5:7].logsumexp(0) - logits[7:9].logsumexp(0)
    assert scorer.read([several])[0].margin == pytest.approx(float(expected), abs=1e-4)


def test_w7_only_answer_positions_pass_the_lm_head(scorer: LogitScorer) -> None:
    seen: list[tuple[int, ...]] = []
    head = scorer.model.get_output_embeddings()
    handle = head.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    try:
        scorer.read(rows_of(scorer))
    finally:
        handle.remove()
    assert len(seen) > 1 and {shape[1:] for shape in seen} == {(1, len(tokenizer()))}
    assert sum(shape[0] for shape in seen) == 12


def test_the_hook_is_gone_after_a_failure(scorer: LogitScorer) -> None:
    row = rows_of(scorer, 1)[0]
    broken = EncodedPair(row.pair_id, row.order, [10**6], row.first_ids, row.second_ids, True)
    with pytest.raises(IndexError):
        scorer.read([broken])
    assert not scorer.model.get_output_embeddings()._forward_pre_hooks
    assert scorer.model(input_ids=torch.tensor([row.input_ids])).logits.shape[1] == len(row.input_ids)


def test_a_model_in_training_stays_in_training_and_is_read_without_dropout() -> None:
    scorer = LogitScorer(tiny_text_model(attention_dropout=0.5), tokenizer())
    rows = rows_of(scorer, 2)
    scorer.model.train()
    assert scorer.read(rows) == scorer.read(rows) and scorer.model.training
    assert all(parameter.grad is None for parameter in scorer.model.parameters())


def test_batches_hold_what_fits_and_every_row_once(scorer: LogitScorer) -> None:
    rows = rows_of(scorer, 20)
    found = list(batches(rows, 1500, pad=0))
    assert sorted(index for batch in found for index in batch.indices) == list(range(len(rows)))
    assert all(batch.input_ids.numel() <= 1500 or len(batch.indices) == 1 for batch in found)
    assert any(len(batch.indices) > 1 for batch in found) and any(len(batch.indices) == 1 for batch in found)
    widths = [batch.input_ids.shape[1] for batch in found]
    assert widths == sorted(widths, reverse=True)


def test_generation_in_batches_is_generation_one_by_one(scorer: LogitScorer) -> None:
    rows = rows_of(scorer, 3)
    together = {i: text for indices, texts in scorer.generate(rows, 4) for i, text in zip(indices, texts, strict=True)}
    for index, row in enumerate(rows):
        ((_, (alone,)),) = scorer.generate([row], 4)
        ids = scorer.model.generate(torch.tensor([row.input_ids]), max_new_tokens=4, do_sample=False, pad_token_id=0)
        assert together[index] == alone == tokenizer().decode(ids[0, len(row.input_ids) :], skip_special_tokens=True)


@pytest.mark.parametrize("family", list(Family))
def test_images_and_text_in_one_probe(family: Family, tmp_path: Path) -> None:
    options: dict[str, Any] = {"device": "cpu", "dtype": "float32", "images": True, "batch_tokens": 4096}
    scorer = load_scorer(build(family, tmp_path / "model"), trust_remote_code=True, **options)
    pairs = image_pairs(tmp_path, 3)
    pairs[1] = pairs[1].model_copy(update={"question": "A longer question. " * 5, "images": (pairs[0].pos,)})
    rows = [scorer.encode(pair, order) for pair in (*pairs, *text_pairs(2)) for order in Order]
    found = scorer.read(rows)
    for row, reading in zip(rows, found, strict=True):
        logits = plain_logits(scorer.model, row)
        assert reading.margin == pytest.approx(float(logits[row.first_ids[0]] - logits[row.second_ids[0]]), abs=1e-4)
    assert abs(found[0].margin - found[1].margin) > 1e-5  # the images changed places, so they were looked at
    texts = [text for _, some in scorer.generate(rows, 2) for text in some]
    assert len(texts) == len(rows)
