"""A probe from pairs to files: choose, ask what is not yet answered, sum up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cleartrace.data.files import write_json
from cleartrace.pairs.files import read_pairs
from cleartrace.pairs.record import Pair, PairKind
from cleartrace.probe.answer import Answer
from cleartrace.probe.ask import Ask, Wording, asks
from cleartrace.probe.manifest import Manifest, read_manifest, replay, select
from cleartrace.probe.names import Mode
from cleartrace.probe.settings import ModelSettings, ProbeSettings
from cleartrace.probe.store import AnswerStore
from cleartrace.probe.summary import Summary, summarise

MANIFEST = "manifest.json"


class Answerer(Protocol):
    """Anything that answers asks: one answer per ask, in any order, as soon as it is there."""

    def answer(self, asks: Sequence[Ask], /) -> Iterator[Answer]: ...


@dataclass(frozen=True)
class Plan:
    """What a probe will ask. `prompts`: one ask per different prompt."""

    manifest: Manifest
    asks: list[Ask]

    @property
    def prompts(self) -> list[Ask]:
        return list({ask.key: ask for ask in reversed(self.asks)}.values())[::-1]


def plan(settings: ProbeSettings) -> Plan:
    """Read and choose the pairs. Raises DataError for files that cannot be used."""
    pairs = read_pairs(settings.data)
    if settings.manifest is not None:
        manifest = read_manifest(settings.manifest)
        sampled = replay(manifest, pairs)
    else:
        trained = {pair.group for pair in read_pairs(settings.training)} if settings.training else set[str]()
        manifest, sampled = select(pairs, per_kind=settings.per_kind, seed=settings.seed, training_groups=trained)
    wording = Wording(settings.letters, settings.include_issue)
    return Plan(manifest, asks(sampled, pairs, controls=settings.controls, wording=wording))


def run(settings: ProbeSettings, progress: Callable[[int, int], None] = lambda done, total: None) -> Summary:
    """Probe a model; a second call with the same settings goes on where the first one stopped.

    Args:
        progress: called with (prompts answered, prompts) after every answer.

    Raises:
        DataError, StoreError: input or output cannot be used.
        EndpointUnavailable: the endpoint gave up; the answers so far are kept.
    """
    planned = plan(settings)
    with AnswerStore(settings.out, identity(settings, planned.manifest)) as store:
        write_json(settings.out / MANIFEST, planned.manifest.as_dict())
        todo = [ask for ask in planned.prompts if ask.key not in store.done]
        total = len(planned.prompts)
        if todo:
            with open_model(settings, [ask.pair for ask in todo]) as model:
                for answer in model.answer(todo):
                    store.append(answer)
                    progress(total - len(todo) + _answered(todo, store), total)
        return summarise(planned.manifest, planned.asks, store.done)


def _answered(todo: Sequence[Ask], store: AnswerStore) -> int:
    return sum(ask.key in store.done for ask in todo)


@contextmanager
def open_model(settings: ProbeSettings, pairs: Sequence[Pair]) -> Iterator[Answerer]:
    """The model that the settings name, loaded or connected."""
    given = settings.model
    if given.endpoint is None:
        yield _local(given, settings, images=any(pair.kind is PairKind.IMAGE or pair.images for pair in pairs))
        return
    from cleartrace.llm.http import Endpoint
    from cleartrace.probe.endpoint import ChatModel

    endpoint = Endpoint(
        given.endpoint,
        key=os.environ.get(given.api_key_env) or None,
        timeout_s=given.request_timeout_s,
        patience_s=given.patience_s,
        connections=given.concurrency,
    )
    try:
        yield ChatModel(
            endpoint,
            given.endpoint_model or endpoint.only_model("--endpoint-model"),
            settings.mode,
            answer_tokens=settings.answer_tokens,
            concurrency=given.concurrency,
            extra=given.extra,
        )
    finally:
        endpoint.close()


def _local(given: ModelSettings, settings: ProbeSettings, *, images: bool) -> Answerer:
    from cleartrace.probe.local import LocalModel, load_scorer

    assert given.model is not None
    scorer = load_scorer(
        given.model,
        device=given.device,
        dtype=given.dtype,
        images=images,
        batch_tokens=given.batch_tokens,
        trust_remote_code=given.trust_remote_code,
        letters=settings.letters,
        answer_prefix=given.answer_prefix,
        chat_template_kwargs=given.chat_template_kwargs,
        mm_processor_kwargs=given.mm_processor_kwargs,
        include_issue=settings.include_issue,
    )
    return LocalModel(scorer, settings.mode, answer_tokens=settings.answer_tokens, max_tokens=given.max_tokens)


def identity(settings: ProbeSettings, manifest: Manifest) -> dict[str, Any]:
    """What answers of one file have in common. How fast they are asked for is not part of it."""
    model = settings.model.model_dump(
        mode="json",
        exclude={
            "api_key_env",
            "request_timeout_s",
            "patience_s",
            "concurrency",
            "batch_tokens",
            "device",
            "trust_remote_code",
        },
    )
    if settings.model.model is not None:
        model["model"] = str(Path(settings.model.model).resolve())
    own: dict[str, Any] = {
        "mode": settings.mode.value,
        "letters": list(settings.letters),
        "include_issue": settings.include_issue,
    }
    if settings.mode is Mode.GENERATE:
        own["answer_tokens"] = settings.answer_tokens
    return {"manifest": manifest.sha256, **own, **model}
