"""Traces of the published RCL: `<out>/iterations/iter_N/traces/*.json`, a folder of them, or one file.

The format keeps ids in names and prefixes (`__pp__` before a task's id for a perturbed run, `task__rN` for a rollout).
It is undone here, at the boundary, and only where the record's own fields say so; file names are never read (R13).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cleartrace.episodes.importers.common import (
    Found,
    Refused,
    Seeds,
    Source,
    Unreadable,
    outcome_of,
    read_json,
    text_of,
)
from cleartrace.episodes.types import (
    Context,
    Episode,
    Failure,
    FailureKind,
    Outcome,
    Step,
    StepKind,
    StopReason,
    Trajectory,
    Usage,
)

_PROBE_PREFIX = "__pp__"
_PROBE = "pp"
_CUT = 1000
"""`to_dict` of the published code keeps so many characters of a trace in text."""


def read(source: Source) -> Found:
    """The runs of all traces. A trace that holds its perturbed twin's text gives two runs."""
    if "browsecomp" in source.environment.lower():
        reason = "its traces hold marks of the right documents in the agent's own text, which would leak the answers"
        yield Refused(str(source.path), reason)
        return
    seeds = Seeds()
    for path in _files(source.path):
        try:
            raw = read_json(path)
            if not isinstance(raw, dict):
                raise Unreadable("not a JSON object")
            yield from episodes_of(raw, source, path.parent.parent.name, seeds)
        except Unreadable as error:
            yield Refused(str(path), str(error))


def episodes_of(raw: dict[str, Any], source: Source, iteration: str, seeds: Seeds) -> list[Episode]:
    """The run of one trace, and its perturbed twin where the trace holds it. Raises: `Unreadable`.

    Args:
        iteration: stands for the playbook's state; traces do not hold the playbook.
    """
    metadata = raw.get("metadata")
    if not isinstance(raw.get("task_id"), str) or not isinstance(metadata, dict):
        raise Unreadable("no trace of RCL: `task_id` and `metadata` are needed")
    task, probed = _task(raw["task_id"], metadata)
    made = Trajectory(
        environment=source.environment or "rcl",
        task_id=task,
        agent=source.agent or "rcl",
        seed=_seed(metadata, seeds, (iteration, task, str(probed))),
        context=Context(provider_hash=f"rcl/{iteration}", probe=_PROBE if probed else ""),
        steps=tuple(_steps(raw, metadata)),
        output=text_of(raw.get("system_output")),
        stop=StopReason.TIME_LIMIT if metadata.get("timed_out") else StopReason.FINISHED,
        turns=_whole(metadata.get("n_tool_calls")),
        usage=_usage(metadata.get("usage")),
        seconds=_number(metadata.get("duration_s")),
    )
    runs = [Episode(trajectory=made, outcome=_outcome(metadata, "afc_trace" not in metadata))]
    if not probed and metadata.get("pp_trace"):
        context = made.context.model_copy(update={"probe": _PROBE})
        steps = (_input(raw), Step(kind=StepKind.MESSAGE, text=text_of(metadata["pp_trace"])))
        update = {"context": context, "steps": steps, "output": "", "turns": 0, "usage": Usage(), "seconds": 0.0}
        twin = made.model_copy(update=update)
        runs.append(Episode(trajectory=twin, outcome=outcome_of(metadata.get("pp_pass_pct"))))
    return runs


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    traces = sorted(path.glob("iterations/iter_*/traces/*.json"), key=_by_iteration) or sorted(path.glob("*.json"))
    yield from traces


def _by_iteration(path: Path) -> tuple[int, str]:
    number = path.parent.parent.name.removeprefix("iter_")
    return (int(number) if number.isdigit() else 0, path.name)


def _task(id: str, metadata: dict[str, Any]) -> tuple[str, bool]:
    """The task, and whether the run was perturbed."""
    probed = bool(metadata.get("is_pp_rollout")) or id.startswith(_PROBE_PREFIX)
    id = id.removeprefix(_PROBE_PREFIX)
    base, mark, number = id.rpartition("__r")
    if mark and number.isdigit() and str(metadata.get("rollout_id", "")).removeprefix(_PROBE_PREFIX) == id:
        id = base
    return id, probed


def _seed(metadata: dict[str, Any], seeds: Seeds, group: tuple[str, ...]) -> int:
    index = metadata.get("rollout_index")
    return index if isinstance(index, int) and not isinstance(index, bool) else seeds.of(*group)


def _steps(raw: dict[str, Any], metadata: dict[str, Any]) -> Iterator[Step]:
    yield _input(raw)
    structured = metadata.get("afc_trace")
    if not structured:
        if trace := text_of(raw.get("trace")):
            yield Step(kind=StepKind.MESSAGE, text=trace)
        return
    if not isinstance(structured, list):
        raise Unreadable("`afc_trace` is not a list of steps")
    for number, step in enumerate(structured, 1):
        if not isinstance(step, dict):
            raise Unreadable(f"step {number} of `afc_trace` is not an object")
        yield from _step(step, number)


def _step(step: dict[str, Any], number: int) -> Iterator[Step]:
    kind = step.get("type")
    text = text_of(step.get("text", step.get("content")))
    if kind == "tool_call":
        name, arguments = text_of(step.get("tool_name")), step.get("arguments")
        good = isinstance(arguments, dict)
        yield Step(
            kind=StepKind.CALL,
            name=name,
            arguments=arguments if good else None,
            call_id=str(number),
            text="" if good else text_of(arguments),
        )
        yield Step(kind=StepKind.RESULT, name=name, call_id=str(number), text=text_of(step.get("output")))
    elif kind == "reasoning":
        yield Step(kind=StepKind.THOUGHT, text=text)
    elif kind in ("output_text", "text"):
        yield Step(kind=StepKind.MESSAGE, text=text)
    else:
        raise Unreadable(f"step {number} of `afc_trace` has the unknown type {kind!r}")


def _outcome(metadata: dict[str, Any], as_text: bool) -> Outcome:
    feedback = text_of(metadata.get("evaluation_details"))
    details = {"task_completed": metadata.get("task_completed"), "cut_at": _CUT if as_text else None}
    error = text_of(metadata.get("error"))
    if metadata.get("infra_error"):
        failure = Failure(kind=FailureKind.SANDBOX, message=error or "the trace says infra_error")
    elif metadata.get("timed_out"):
        failure = Failure(kind=FailureKind.TIME_LIMIT, message=error or "the trace says timed_out")
    elif error:
        kind = FailureKind.AGENT_ERROR if _whole(metadata.get("n_tool_calls")) else FailureKind.ENGINE
        failure = Failure(kind=kind, message=error)
    else:
        return outcome_of(metadata.get("pass_pct"), feedback, details)
    score = 0.0 if failure.kind in (FailureKind.TIME_LIMIT, FailureKind.AGENT_ERROR) else None
    return Outcome(score=score, feedback=feedback, details=details, failure=failure)


def _input(raw: dict[str, Any]) -> Step:
    return Step(kind=StepKind.INPUT, name="user", text=text_of(raw.get("input_query")))


def _usage(raw: Any) -> Usage:
    if not isinstance(raw, dict):
        return Usage()
    read = _whole(raw.get("input_tokens", raw.get("prompt_tokens")))
    return Usage(input_tokens=read, output_tokens=_whole(raw.get("output_tokens", raw.get("completion_tokens"))))


def _whole(value: Any) -> int:
    return int(_number(value))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and value >= 0 else 0.0
