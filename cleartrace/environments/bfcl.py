"""BFCL v4, multi-turn (Patil et al. 2025; PyPI `bfcl-eval`): requests in several turns to eight stateful services.

Four categories of 200 tasks: `base`; `miss_func`, where a function arrives only later; `miss_param`, where a request
lacks what it needs; `long_context`, where services answer at length. The package's own classes act, and its own
checkers judge state and answers turn by turn. They evaluate source text and keep state in module globals: use this
class through `Host`.

As in the package's own loop, a service carries out any function that it documents, also one that is not offered yet;
here a call that cannot be read is answered with an error instead of ending the turn.
"""

# pyright: reportMissingImports=false
# The package lives in a virtual environment of its own, where this module runs.

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from cleartrace.environments.bfcl_calls import call_of, source_of, spec_of
from cleartrace.environments.calls import numbered, refuse, unreadable
from cleartrace.environments.compare import differences
from cleartrace.environments.protocol import Action, CallResult, Observation
from cleartrace.environments.splits import of_split, split_of
from cleartrace.episodes.types import Outcome, Task
from cleartrace.llm.protocol import ToolCall, ToolSpec

CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
_PREFIX = "BFCL_v4_multi_turn"
_ERROR = "Error during execution:"

DOMAIN = """Agents serve a user over several turns by calling functions of stateful services: a file system, arithmetic,
messages, social posts, support tickets, stock trading, travel booking and a car. The user's next request comes when the
agent answers without a call. After each turn a check in code compares the state of every service, and the answers that
the calls gave, with those of a reference solution: calls that the request needs must be made with the right arguments,
and nothing else may change the state. Some requests lack a value, or need a function that is not there: then the agent
must not guess or work around it but say what is missing, and act once the user has provided it."""

SECTIONS: Mapping[str, str] = {
    "reading the request": "what a wording asks for, which values it gives, which must be looked up first",
    "using functions": "arguments, units, formats and side effects of single functions, and what their answers mean",
    "order of calls": "what comes before what: logging in, moving to a folder, opening, converting, confirming",
    "state": "what earlier turns left behind and how it is used, such as the current folder, ids and logins",
    "missing information": "how to notice that a value or a function is missing, and what to do then",
    "ending a turn": "when a request is done, and what must not be done beyond it",
    "mistakes": "what went wrong before, how to notice it early, and what to do instead",
}


@dataclass(frozen=True)
class Entry:
    """A task as the package stores it. `arriving`: functions by the turn that brings them."""

    id: str
    turns: tuple[str, ...]
    gold: tuple[tuple[str, ...], ...]
    functions: tuple[ToolSpec, ...]
    documented: frozenset[str]
    arriving: Mapping[int, tuple[ToolSpec, ...]]
    data: Mapping[str, Any]

    @property
    def category(self) -> str:
        return self.id.rsplit("_", 1)[0]


class Bfcl:
    """The multi-turn tasks of BFCL.

    Args:
        categories: which, separated by commas; all four when empty.

    Ids are the package's, `multi_turn_base_17`. The tasks of one number tell one story in four forms and are one group.
    Splits are ours, by group: the package has none.
    """

    name = "bfcl"
    domain = " ".join(DOMAIN.split())
    sections = SECTIONS

    def __init__(self, categories: str = "") -> None:
        self.version = version("bfcl-eval")
        self._categories = [part.strip() for part in categories.split(",") if part.strip()] or list(CATEGORIES)
        if unknown := [part for part in self._categories if part not in CATEGORIES]:
            raise ValueError(f"bfcl has no multi-turn category {unknown[0]!r}; there are: {', '.join(CATEGORIES)}")

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.id: entry for category in self._categories for entry in _load(category)}

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        return of_split([self._task(entry) for entry in self._entries.values()], split)

    def _task(self, entry: Entry) -> Task:
        group = entry.id.rsplit("_", 1)[1]
        return Task(
            environment=self.name,
            id=entry.id,
            input=entry.turns[0],
            split=split_of(self.name, group),
            group=group,
            metadata={"services": list(entry.data["involved_classes"])},
        )

    def session(self, task_id: str, seed: int) -> BfclSession:
        """`seed` changes nothing: the services' random numbers are the task's own."""
        del seed
        return BfclSession(self._entry(task_id))

    def gold(self, task_id: str, seed: int) -> Sequence[Action]:
        del seed
        entry = self._entry(task_id)
        return [action for turn in range(len(entry.turns)) for action in reference(entry, turn)]

    def _entry(self, task_id: str) -> Entry:
        if task_id not in self._entries:
            raise ValueError(f"bfcl has no task {task_id!r}; ids look like {next(iter(self._entries))!r}")
        return self._entries[task_id]


class BfclSession:
    """One conversation. Calls act; an answer without any ends the user's turn."""

    _numbers = itertools.count()

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._key = f"session{next(self._numbers)}x"
        self._turns: list[list[list[str]]] = [[]]
        self._tools = {tool.name: tool for tool in entry.functions}
        self._forced = False

    @property
    def _turn(self) -> int:
        return len(self._turns) - 1

    @property
    def _done(self) -> bool:
        return self._forced or len(self._turns) > len(self._entry.turns)

    def start(self) -> Observation:
        return Observation(text=self._entry.turns[0], tools=tuple(self._tools.values()))

    def act(self, action: Action) -> Observation:
        from bfcl_eval.constants.default_prompts import MAXIMUM_STEP_LIMIT

        if self._done:
            results = tuple(refuse(call, "the conversation is over") for call in action.calls)
            return Observation(results=results, done=True)
        if not action.calls:
            return self._next_turn()
        step: list[str] = []
        results = tuple(self._call(call, step) for call in action.calls)
        if step:
            self._turns[-1].append(step)
        self._forced = len(self._turns[-1]) > MAXIMUM_STEP_LIMIT
        return Observation(results=results, tools=tuple(self._tools.values()), done=self._forced)

    def _next_turn(self) -> Observation:
        self._turns.append([])
        if self._done:
            return Observation(done=True)
        self._tools |= {tool.name: tool for tool in self._entry.arriving.get(self._turn, ())}
        return Observation(text=self._entry.turns[self._turn], tools=tuple(self._tools.values()))

    def _call(self, call: ToolCall, step: list[str]) -> CallResult:
        if call.arguments is None:
            return unreadable(call)
        if call.name not in self._entry.documented:
            return refuse(call, f"there is no function {call.name}")
        if wrong := [name for name in call.arguments if not name.isidentifier()]:
            return refuse(call, f"{wrong[0]!r} is no name of an argument")
        source = source_of(call.name, call.arguments)
        step.append(source)
        text = _execute([source], self._entry, self._key)[0][0]
        return CallResult(call_id=call.id, text=text, is_error=is_error(text))

    def outcome(self) -> Outcome:
        turns = self._turns[: len(self._entry.turns)]
        details: dict[str, Any] = {"turns": self._turn, "of": len(self._entry.turns)}
        if not self._done or self._forced:
            why = "made too many calls in one turn" if self._forced else "stopped before the last request"
            feedback = f"The agent {why}: {self._turn} of {len(self._entry.turns)} requests were answered."
            return Outcome(score=0.0, feedback=feedback, details=details | {"error_type": "unfinished"})
        verdict = _check(turns, self._entry)
        if verdict["valid"]:
            return Outcome(score=1.0, feedback="Every turn was done.", details=details)
        return Outcome(
            score=0.0, feedback=self._feedback(verdict), details=details | {"error_type": verdict["error_type"]}
        )

    def _feedback(self, verdict: Mapping[str, Any]) -> str:
        lines = [verdict["error_message"]]
        details = verdict.get("details", {})
        for name, values in details.get("differences", {}).items():
            lines += differences({name: plain(values["ground_truth"])}, {name: plain(values["model"])}, limit=8)
        if missing := details.get("missing_items"):
            lines.append("Answers of calls that the reference made and the agent did not get:")
            lines += [str(item)[:400] for item in missing[:6]]
        for number, request in enumerate(self._entry.turns):
            made = numbered(reference(self._entry, number)[:-1]) or "no call: say what is missing"
            lines.append(f"Turn {number + 1}, {request!r}, by the reference:\n{made}")
        return "\n".join(lines)

    def close(self) -> None:
        _forget(self._key)


def reference(entry: Entry, turn: int) -> list[Action]:
    """What the package's authors would do in a turn, with the answer that ends it."""
    calls = tuple(call_of(source, number, entry.data) for number, source in enumerate(entry.gold[turn]))
    return [*([Action(calls=calls)] if calls else []), Action(text="Done.")]


def is_error(text: str) -> bool:
    """Whether a service refused a call: an exception, or an object with an `error`."""
    if text.startswith(_ERROR):
        return True
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and "error" in value


def plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """An attribute of a service as plain data. Objects such as folders become their attributes; links upwards go."""
    if id(value) in above:
        return "..."
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item, above) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, above) for item in value]
    if hasattr(value, "__dict__"):
        return {key: plain(item, above) for key, item in vars(value).items() if key != "parent" and key[0] != "_"}
    return value


def _execute(sources: list[str], entry: Entry, key: str) -> tuple[list[str], dict[str, Any]]:
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call

    return execute_multi_turn_func_call(
        func_call_list=sources,
        initial_config=entry.data["initial_config"],
        involved_classes=entry.data["involved_classes"],
        model_name=key,
        test_entry_id=entry.id,
        long_context="long_context" in entry.category,
    )


def _check(turns: list[list[list[str]]], entry: Entry) -> dict[str, Any]:
    """The package's verdict, on services that start anew."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    key = f"check{next(BfclSession._numbers)}x"
    try:
        return multi_turn_checker(turns, [list(turn) for turn in entry.gold], dict(entry.data), entry.category, key)
    finally:
        _forget(key)


def _forget(key: str) -> None:
    """Services of a session live in the package's globals, under names that begin with its key."""
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils

    for name in [name for name in vars(multi_turn_utils) if name.startswith(f"{key}_")]:
        delattr(multi_turn_utils, name)


def _load(category: str) -> list[Entry]:
    data = files("bfcl_eval") / "data"
    name = f"{_PREFIX}_{category}.json"
    gold = {row["id"]: row["ground_truth"] for row in _rows(data / "possible_answer" / name)}
    return [_entry(row, gold[row["id"]]) for row in _rows(data / name)]


def _entry(row: Mapping[str, Any], gold: Sequence[Sequence[str]]) -> Entry:
    from bfcl_eval.constants.default_prompts import DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC as MORE_FUNCTIONS

    documented = {tool.name: tool for service in row["involved_classes"] for tool in _functions(service)}
    late = {int(turn): names for turn, names in row.get("missed_function", {}).items()}
    held_back = {name for names in late.values() for name in names}
    return Entry(
        id=row["id"],
        turns=tuple("\n".join(message["content"] for message in turn) or MORE_FUNCTIONS for turn in row["question"]),
        gold=tuple(tuple(turn) for turn in gold),
        documented=frozenset(documented),
        functions=tuple(tool for name, tool in documented.items() if name not in held_back),
        arriving={turn: tuple(documented[name] for name in names) for turn, names in late.items()},
        data=row,
    )


@cache
def _functions(service: str) -> list[ToolSpec]:
    from bfcl_eval.constants.executable_backend_config import MULTI_TURN_FUNC_DOC_FILE_MAPPING

    path = files("bfcl_eval") / "data" / "multi_turn_func_doc" / MULTI_TURN_FUNC_DOC_FILE_MAPPING[service]
    return [spec_of(document) for document in _rows(path)]


def _rows(path: Any) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
