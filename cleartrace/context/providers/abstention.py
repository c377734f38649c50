"""`abstain:FILE` of a provider's specification: when to say nothing, as it was measured before."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from urllib.parse import parse_qsl

from pydantic import ValidationError

from cleartrace.context.providers.abstaining import Rule, SolvedAlone
from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines

KIND = "abstain"
_RATES, _EFFECTS = ".json", ".jsonl"
_OPTIONS = {_RATES: ("at_least",), _EFFECTS: ("neighbours", "least")}


def rule_from_spec(spec: str) -> Rule:
    """A rule from `abstain:FILE`.

    `rates.json` holds {task id: share of passes without context}: abstain where it is `at_least` (1.0) or more.
    `effects.jsonl` holds what context did for measured tasks, one `Measured` a line: abstain where the mean effect on
    the `neighbours` (5) most similar ones is not above `least` (0.0).

    Errors: ValueError that says what was wrong, `DataError` of a file.
    """
    name, _, query = spec.strip().removeprefix(f"{KIND}:").partition("?")
    path = Path(name.strip())
    if path.suffix not in _OPTIONS:
        raise ValueError(f"{spec!r}: say {KIND}:FILE, rates in a .json file or measured effects in a .jsonl file")
    known, options = _OPTIONS[path.suffix], dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"{spec!r}: with a {path.suffix} file there is no option {option!r}; the nearest is {near}"
            )
    try:
        if path.suffix == _RATES:
            return SolvedAlone(_rates(path), float(options.get("at_least", "1")))
        return _effects(path, int(options.get("neighbours", "5")), float(options.get("least", "0")))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise ValueError(f"{spec!r}: a number is needed ({error})") from None


def _rates(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(path, "there is no such file; `cleartrace context abstention` makes it") from None
    except (OSError, ValueError) as error:
        raise DataError(path, f"not readable JSON ({error})") from None
    good = isinstance(found, dict) and all(type(one) in (int, float) and 0 <= one <= 1 for one in found.values())
    if not good:
        raise DataError(path, "a JSON object is needed, of task ids with their rates from 0 to 1")
    return {str(id): float(rate) for id, rate in found.items()}


def _effects(path: Path, neighbours: int, least: float) -> Rule:
    # Credit builds on agents, and agents on providers: it is imported when it is needed.
    from cleartrace.learn.credit.abstain import AbstentionRule, Measured

    measured = []
    for number, value in read_json_lines(path):
        try:
            measured.append(Measured.model_validate(value))
        except ValidationError as error:
            said = error.errors()[0]
            where = ".".join(map(str, said["loc"]))
            raise DataError(f"{path}, line {number}", f"no measured effect ({where}: {said['msg']})") from None
    if not measured:
        raise DataError(path, "it holds no measured effect")
    if neighbours < 1:
        raise ValueError(f"neighbours is at least 1, got {neighbours}")
    return AbstentionRule(tuple(measured), neighbours, least)
