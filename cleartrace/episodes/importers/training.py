"""`trajectories.jsonl` of a cleartrace training or evaluation run."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.episodes.importers.common import Found, Refused, Source, Unreadable, outcome_of
from cleartrace.episodes.types import Episode, Failure, FailureKind, Outcome, Step, StepKind, Trajectory, Usage
from cleartrace.trajectory.record import SegmentRecord, ToolCallRecord, TrajectoryRecord

_TOOL = "code"


def read(source: Source) -> Found:
    """One run a line. A folder stands for the `trajectories.jsonl` in it."""
    path = source.path / "trajectories.jsonl" if source.path.is_dir() else source.path
    try:
        for number, row in read_json_lines(path):
            try:
                yield episode_of(TrajectoryRecord.model_validate(row), source)
            except (ValidationError, Unreadable) as error:
                yield Refused(f"{path}, line {number}", _short(error))
    except DataError as error:
        yield Refused(str(path), f"{error}; the rest of the file was not read")


def episode_of(record: TrajectoryRecord, source: Source) -> Episode:
    """What stands in the trajectory after repairs. Ground truth, prediction and reward are part of the outcome."""
    steps = tuple(_steps(record))
    said = [step.text for step in steps if step.kind is StepKind.MESSAGE]
    trajectory = Trajectory(
        environment=source.environment or record.data_source,
        task_id=record.sample_id,
        agent=source.agent or f"{record.run}@{record.step}/{record.arm}",
        seed=record.rollout,
        steps=steps,
        output=said[-1] if said else "",
        turns=record.num_turns,
        usage=Usage(output_tokens=record.generated_tokens),
    )
    return Episode(trajectory=trajectory, outcome=_outcome(record))


def _outcome(record: TrajectoryRecord) -> Outcome:
    details = {
        "ground_truth": record.ground_truth,
        "prediction": record.prediction,
        "reward": record.reward,
        "split": record.split,
    }
    if record.masked:
        failure = Failure(
            kind=FailureKind.SANDBOX, message="an infrastructure failure took this rollout out of training"
        )
        return Outcome(score=None, details=details, failure=failure)
    if record.acc is not None:
        return outcome_of(record.acc, details=details)
    reward = record.reward
    return outcome_of(reward if reward is not None and 0 <= reward <= 1 else None, details=details)


def _steps(record: TrajectoryRecord) -> Iterator[Step]:
    calls = iter([call for call in record.tool_calls if call.kept])
    running: list[ToolCallRecord] = []
    segments = [segment for segment in record.segments if segment.kind != "boundary"]
    for number, segment in enumerate(segments):
        text = "".join(segment.pieces)
        if segment.kind == "prompt":
            yield Step(kind=StepKind.INPUT, name="user", text=text)
        elif segment.kind == "assistant_reasoning":
            leads = number + 1 < len(segments) and segments[number + 1].kind == "assistant_call"
            yield Step(kind=StepKind.THOUGHT if leads else StepKind.MESSAGE, text=text)
        elif segment.kind == "assistant_call":
            call = next(calls, None)
            running += [call] if call else []
            yield _call(segment, text, call)
        else:
            call = running.pop(0) if running else None
            bad = call is not None and call.status != "ok"
            yield Step(kind=StepKind.RESULT, name=_TOOL, call_id=_id(call), text=text, is_error=bad)


def _call(segment: SegmentRecord, text: str, call: ToolCallRecord | None) -> Step:
    """The call as the model wrote it; its code where a record of the execution exists."""
    arguments = {"code": call.code} if call else None
    return Step(kind=StepKind.CALL, name=_TOOL, arguments=arguments, call_id=_id(call), text=text)


def _id(call: ToolCallRecord | None) -> str:
    return f"{call.position}.{call.attempt}" if call else ""


def _short(error: ValidationError | Unreadable) -> str:
    if isinstance(error, Unreadable):
        return str(error)
    first = error.errors()[0]
    return f"no record of a rollout: {'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"
