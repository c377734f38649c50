"""A task for a shell agent: what the model may know, and what it must not."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShellTask(_Frozen):
    """The part of a task that is not secret. Nothing of it but the problem statement is shown to the model.

    Args:
        instance_id: unique name.
        repo: `owner/name`, or the name of a package.
        base_commit: commit the image has checked out; '' where the repository has no history.
        problem_statement: what is wrong, in words.
        image: container image with the repository and its environment; '' for a local task.
        workdir: where the repository stands in the image.
        repository: folder of the repository for a local task; '' for a container.
        packages: distributions that commands and tests of a local task may import, beside the standard library.
    """

    instance_id: str = Field(min_length=1)
    repo: str
    base_commit: str = ""
    problem_statement: str = Field(min_length=1)
    image: str = ""
    workdir: str = "/testbed"
    repository: str = ""
    packages: tuple[str, ...] = ("pytest",)

    @model_validator(mode="after")
    def _has_a_place(self) -> ShellTask:
        if bool(self.image) == bool(self.repository):
            raise ValueError(f"task {self.instance_id}: give either an image or a repository folder")
        return self


class HiddenPart(_Frozen):
    """What decides the reward. It is never in the prompt, and never in a sandbox in which the model's commands run.

    Args:
        gold_patch: a change that solves the task; '' when none is known.
        setup_patch: diff that makes the bug, applied before the model starts (SWE-smith).
        removed: files of the repository that the model must not see (SWE-smith: the failing tests).
        test_patch: diff that brings the hidden tests (SWE-Gym, SWE-bench).
        test_files: hidden test files by path; another way to bring them.
        fail_to_pass, pass_to_pass: pytest ids; the task is solved when all of them pass.
    """

    gold_patch: str = ""
    setup_patch: str = ""
    removed: tuple[str, ...] = ()
    test_patch: str = ""
    test_files: dict[str, str] = Field(default_factory=dict)
    fail_to_pass: tuple[str, ...] = Field(min_length=1)
    pass_to_pass: tuple[str, ...] = ()

    @property
    def test_ids(self) -> tuple[str, ...]:
        return (*self.fail_to_pass, *self.pass_to_pass)
