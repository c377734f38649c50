"""Stages 1 to 3 for one trajectory: the few facts that pairing needs, or the reason why it is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from cleartrace.pairs.mine.trajectories.commands import count_edits
from cleartrace.pairs.mine.trajectories.instance import InstanceId, parse_instance
from cleartrace.pairs.mine.trajectories.locate import change_key, scope_of
from cleartrace.pairs.mine.trajectories.patch import FilePatch
from cleartrace.pairs.mine.trajectories.read import Trajectory
from cleartrace.pairs.mine.trajectories.submission import Submission, find_submission, seen_before
from cleartrace.pairs.mine.trajectories.tasks import Task

Sources = Callable[[InstanceId, str], str | None]
"""(instance, path) to the file in a checkout of the commit, or None where there is none."""


class Left(str, Enum):
    """Why a trajectory is left out before pairing."""

    UNREADABLE = "unreadable"
    UNKNOWN_INSTANCE = "unknown_instance"
    UNRESOLVED = "unresolved"
    NO_PATCH = "no_patch"
    PATCH_DIRECTION = "patch_direction_unknown"
    ONLY_TESTS = "only_tests_or_new_files"
    SEVERAL_FILES = "several_files"
    NO_ONE_FUNCTION = "no_one_function"


class LeftOut(Exception):
    """Raised by `facts_of`."""

    def __init__(self, why: Left) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True)
class Facts:
    """`turns`: assistant messages before the submission; `chars`: of all messages after the issue, up to there."""

    instance: InstanceId
    path: str
    scope: str
    change: str
    turns: int
    chars: int
    edits: int


def no_sources(instance: InstanceId, path: str) -> str | None:
    """There are no checkouts: functions are found by what the run printed."""
    return None


def submission_of(run: Trajectory, task: Task) -> Submission:
    """Raises: LeftOut."""
    try:
        found = find_submission(run.messages, run.patch, task.patch)
    except ValueError:
        raise LeftOut(Left.PATCH_DIRECTION) from None
    if found is None:
        raise LeftOut(Left.NO_PATCH)
    return found


def changed_file(submission: Submission) -> FilePatch:
    """The one changed file; tests and new files (an agent's scripts) do not count. Raises: LeftOut."""
    files = [file for file in submission.files if file.old and file.new and not file.is_test]
    if not files:
        raise LeftOut(Left.ONLY_TESTS)
    if len(files) > 1:
        raise LeftOut(Left.SEVERAL_FILES)
    return files[0]


def facts_of(run: Trajectory, task: Task, sources: Sources = no_sources) -> Facts:
    """Facts of a trajectory that may be paired. Raises: LeftOut."""
    instance = parse_instance(run.instance_id, task.commit)
    if instance is None:
        raise LeftOut(Left.UNKNOWN_INSTANCE)
    if run.resolved is False:
        raise LeftOut(Left.UNRESOLVED)
    submission = submission_of(run, task)
    patch = changed_file(submission)
    scope = scope_of(patch, sources(instance, patch.path), seen_before(run.messages, submission.end))
    if not scope:
        raise LeftOut(Left.NO_ONE_FUNCTION)
    acts = [message for message in run.messages[: submission.end] if message.role == "assistant"]
    begin = next((i for i, message in enumerate(run.messages) if message.role == "assistant"), 0)
    return Facts(
        instance,
        patch.path,
        scope,
        change_key(patch),
        len(acts),
        sum(len(message.content) for message in run.messages[begin : submission.end]),
        sum(count_edits(message.content) for message in acts),
    )
