"""Builds the context pass of a training worker, and refuses what would train something else than was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cleartrace.losses.context_options import ContextConfig, LogitsPath, OrderPolicy
from cleartrace.pairs.budget import Overlong, within
from cleartrace.pairs.encode import PairEncoder
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.record import Order, Pair, PairKind
from cleartrace.pairs.split import require_disjoint
from cleartrace_verl.context.checks import KEY, ContextRefused, choose_path
from cleartrace_verl.context.passes import ContextPass
from cleartrace_verl.context.positions import positions_of
from cleartrace_verl.context.rows import BatchSettings
from cleartrace_verl.context.source import PairSource

ENDING_CHARACTERS = 80
NEEDS_IMAGES = ("qwen2_vl", "qwen2_5_vl")


def build_pass(config: ContextConfig, worker: Any) -> ContextPass:
    """The pass of `worker`, a `TrainingWorker` whose engine is ready.

    Raises:
        ContextRefused: what the configuration asks for cannot be done; the message says what to change.
    """
    engine, model = worker.engine, worker.model_config
    encoder = PairEncoder(
        model.tokenizer,
        model.processor,
        letters=config.letters,
        letter_variants=config.letter_variants,
        answer_prefix=config.answer_prefix,
        chat_template_kwargs=config.chat_template_kwargs,
        mm_processor_kwargs=config.mm_processor_kwargs,
        include_issue=config.include_issue,
    )
    settings = _settings(config, worker)
    train, held_out = _read(config.train_files), _read(config.val_files)
    require_disjoint(train, held_out)
    _refuse_text_only(model.hf_config.model_type, [*train, *held_out])
    _refuse_unordered(config, train)
    limit = _longest_row(config, settings)
    overlong = Overlong(config.overlong)

    def length(pair: Pair, order: Order) -> int:
        return len(encoder.encode(pair, order).input_ids)

    fitting = within(train, limit, length, overlong)
    held_out_fitting = within(held_out, limit, length, overlong).kept if held_out else ()
    source = PairSource(
        config,
        encoder,
        settings,
        positions_of(model.processor),
        train=fitting.kept,
        held_out=held_out_fitting,
        dropped=fitting.n_dropped,
        rank=engine.get_data_parallel_rank(),
        ranks=engine.get_data_parallel_size(),
    )
    if engine.get_data_parallel_rank() == 0:
        print(describe(encoder, settings, len(fitting.kept), fitting.n_dropped, len(held_out_fitting)))
    return ContextPass(config, engine, source, settings)


def describe(encoder: PairEncoder, settings: BatchSettings, train: int, dropped: int, held_out: int) -> str:
    """What a run should say once: how a prompt ends, which tokens are the letters, how many pairs there are."""
    options, ending = encoder.options, (encoder.ending + encoder.prefix)[-ENDING_CHARACTERS:]
    return (
        f"ContextRL: {train} pairs, {dropped} too long and dropped, {held_out} held out; path {settings.path.value}; "
        f"prompts end in {ending!r}; letters {list(options.spellings)} are tokens {list(options.first_ids)} and "
        f"{list(options.second_ids)}"
    )


def _read(files: Sequence[str]) -> list[Pair]:
    return read_pairs([Path(name).expanduser() for name in files])


def _settings(config: ContextConfig, worker: Any) -> BatchSettings:
    engine, model = worker.engine, worker.model_config
    path = choose_path(
        config,
        fused=bool(model.use_fused_kernels),
        sequence_parallel=engine.ulysses_sequence_parallel_size > 1,
        pads_to_length=bool(engine.pad_to_length),
    )
    per_pair = (2 if path is LogitsPath.PAIR else 1) * (2 if config.debias else 1)
    return BatchSettings(
        path=path,
        max_tokens=config.max_token_len_per_gpu or worker.engine_config.max_token_len_per_gpu,
        packed=bool(model.use_remove_padding),
        fused=bool(model.use_fused_kernels),
        group=per_pair,
    )


def _longest_row(config: ContextConfig, settings: BatchSettings) -> int:
    """Tokens that a prompt may have: those asked for, and never more than a micro-batch can hold."""
    rows, letter = settings.group, 1 if settings.path is LogitsPath.PAIR else 0
    return min(config.max_prompt_length, settings.max_tokens // rows - letter)


def _refuse_text_only(model_type: str, pairs: Sequence[Pair]) -> None:
    if model_type in NEEDS_IMAGES and any(pair.kind is not PairKind.IMAGE and not pair.images for pair in pairs):
        raise ContextRefused(
            f"{KEY}: veRL 0.9.1 cannot run a micro-batch without images on {model_type} (its stand-in image has the "
            "wrong type with transformers 5). Give pairs with images only, or use Qwen3-VL, which can."
        )


def _refuse_unordered(config: ContextConfig, train: Sequence[Pair]) -> None:
    """Found at the start, not at the step that draws the pair."""
    if config.order is OrderPolicy.FIXED and (missing := [pair.id for pair in train if pair.order is None]):
        raise ContextRefused(
            f"{KEY}.order=fixed takes the order of each pair from the file, and {len(missing)} have none, the first is "
            f"{missing[0]}. Use random, balanced or both."
        )
