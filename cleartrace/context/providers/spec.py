"""Providers by name, for command lines: `none`, `static:FILE`, `playbook:FILE`, `rag:FILE`, `model:PROVIDER/MODEL`,
two of them together, and `abstain:FILE` behind any."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from cleartrace.context.playbook.files import load
from cleartrace.context.provider import ContextProvider
from cleartrace.context.providers.abstaining import Abstaining
from cleartrace.context.providers.abstention import KIND as ABSTAIN
from cleartrace.context.providers.abstention import rule_from_spec
from cleartrace.context.providers.base import Count
from cleartrace.context.providers.retrieved import Retrieved, load_rows
from cleartrace.context.providers.search import Method, SentenceEmbedder
from cleartrace.context.providers.simple import Empty, PlaybookProvider, Static
from cleartrace.context.providers.written import Hybrid, Model
from cleartrace.data.errors import DataError
from cleartrace.llm.protocol import LLM
from cleartrace.llm.tokens import count_tokens

Connect = Callable[[str], LLM]
_KINDS = ("none", "static", "playbook", "rag", "model")
_OPTIONS = {
    "none": (),
    "static": (),
    "playbook": ("cite",),
    "rag": ("k", "method", "least", "own", "embedder"),
    "model": ("temperature", "max_tokens"),
}


def provider_from_spec(
    spec: str, cap: int | None = None, connect: Connect | None = None, count: Count = count_tokens
) -> ContextProvider:
    """A provider from text.

    `none`; `static:FILE`; `playbook:FILE?cite=yes`; `rag:FILE?k=3&method=bm25` with FILE a playbook or JSON lines,
    method bm25, tfidf or embedding, and embedder a model of sentence-transformers; `model:openai/NAME?temperature=0`;
    and `rag:... + model:...` or `playbook:... + model:...` for both. A `cap` of its own may stand among the options of
    each. Behind all may stand ` + abstain:FILE`, which says nothing where that was measured to be better
    (`rule_from_spec`).

    Args:
        cap: most tokens of an answer.
        connect: makes a model of its name; None is `cleartrace.llm.connect.connect`.

    Errors: ValueError that says what was wrong, `DataError` of a file.
    """
    before, plus, last = spec.rpartition(" + ")
    if last.strip().startswith(f"{ABSTAIN}:"):
        if not plus:
            raise ValueError(f"{spec!r}: before it stands the provider that abstains, as in model:openai/NAME + {spec}")
        return Abstaining(provider_from_spec(before, cap, connect, count), rule_from_spec(last))
    if " + " in spec:
        first, _, second = spec.partition(" + ")
        writer = provider_from_spec(second, None, connect, count)
        if not isinstance(writer, Model):
            raise ValueError(f"{spec!r}: behind ' + ' stands a model, such as model:openai/NAME, or last abstain:FILE")
        return Hybrid(provider_from_spec(first, cap, connect, count), writer, cap)
    kind, _, rest = spec.strip().partition(":")
    if kind not in _KINDS:
        near = difflib.get_close_matches(kind, _KINDS, n=1, cutoff=0.0)[0]
        raise ValueError(f"no context provider {spec!r}; there are {', '.join(_KINDS)}; the nearest is {near}")
    name, options = _split(kind, rest, spec)
    if (kind == "none") == bool(name):
        raise ValueError(f"{spec!r}: " + ("none takes no file" if name else f"say {kind}:{_wanted(kind)}"))
    if "cap" in options:
        cap = min(_whole(options.pop("cap"), "cap"), cap if cap is not None else 1 << 62)
    return _make(kind, name, options, cap, connect, count)


def _make(
    kind: str, name: str, options: dict[str, str], cap: int | None, connect: Connect | None, count: Count
) -> ContextProvider:
    if kind == "none":
        return Empty()
    if kind == "static":
        return _static(Path(name), cap, count)
    if kind == "playbook":
        return PlaybookProvider(load(Path(name)), cap, _yes(options.get("cite", "no"), "cite"), count)
    if kind == "rag":
        return _retrieved(Path(name), options, cap, count)
    temperature = options.get("temperature")
    return Model(
        _connected(name, connect),
        cap,
        temperature=None if temperature is None else _number(temperature, "temperature"),
        max_tokens=_whole(options["max_tokens"], "max_tokens") if "max_tokens" in options else None,
        count=count,
    )


def _static(path: Path, cap: int | None, count: Count) -> Static:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"not a readable text ({error})") from None
    provider = Static(text.strip(), cap, count)
    if provider.cut:
        raise ValueError(f"{path} has {count(text.strip())} tokens and {cap} are allowed: shorten it or raise the cap")
    return provider


def _retrieved(path: Path, options: dict[str, str], cap: int | None, count: Count) -> Retrieved:
    try:
        method = Method(options.get("method", Method.BM25.value))
    except ValueError:
        known = ", ".join(one.value for one in Method)
        raise ValueError(f"no method {options['method']!r} of retrieval; there are {known}") from None
    if method is not Method.EMBEDDING and "embedder" in options:
        raise ValueError(f"method {method.value} uses no embedder; say method=embedding")
    return Retrieved(
        load_rows(path),
        k=_whole(options.get("k", "1"), "k"),
        method=method,
        embedder=_embedder(options.get("embedder", "minilm")) if method is Method.EMBEDDING else None,
        cap=cap,
        least=_number(options.get("least", "0"), "least"),
        own=_yes(options.get("own", "yes"), "own"),
        count=count,
    )


def _embedder(model: str) -> SentenceEmbedder:
    try:
        return SentenceEmbedder(model)
    except (ImportError, OSError) as error:
        raise ValueError(f"no embedder {model}: {error}") from None


def _connected(name: str, connect: Connect | None) -> LLM:
    if connect is not None:
        return connect(name)
    from cleartrace.llm.connect import connect as from_name

    return from_name(name)


def _split(kind: str, rest: str, spec: str) -> tuple[str, dict[str, str]]:
    name, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = (*_OPTIONS[kind], "cap")
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"{spec!r}: {kind} has no option {option!r}; the nearest is {near}")
    return name.strip(), options


def _wanted(kind: str) -> str:
    return "PROVIDER/MODEL" if kind == "model" else "FILE"


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{name} = {text!r}: a whole number from 1 on is needed")
    return int(text)


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} = {text!r}: a number is needed") from None


def _yes(text: str, name: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(f"{name} = {text!r}: yes or no is needed")
    return text == "yes"
