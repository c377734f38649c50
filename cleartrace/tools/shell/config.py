"""How shell rollouts run. Read from `actor_rollout_ref.rollout.custom.shell`."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict, Field


class RuntimeKind(str, Enum):
    """Where commands run."""

    LOCAL = "local"
    """In a namespace sandbox on this machine, on a copy of a repository."""
    CONTAINER = "container"
    """In a container of the task's image."""


class Engine(str, Enum):
    """The program that runs containers. Both take the same arguments."""

    DOCKER = "docker"
    PODMAN = "podman"


class ShellConfig(BaseModel):
    """Limits of one rollout. Defaults: the evaluation settings of the ContextRL paper where it gives one.

    Args:
        command_timeout_s: seconds one command of the model may take.
        evaluation_timeout_s: seconds the hidden tests may take together.
        start_timeout_s: seconds to have a sandbox ready, the download of an image included.
        observation_chars: characters of a command's output that the model is shown.
        turn_tokens: tokens the model may write in one turn; None leaves only the response length.
        memory_mb, pids, cpus: of all processes of a sandbox together; `cpus` holds for containers only.
        disk_mb, files: size and number of files of a local sandbox; they are counted as memory.
        at_once: sandboxes of one process that are open at the same time; further rollouts wait.
        min_level: isolation a local sandbox must have (docs of code-judge); never lowered silently.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: RuntimeKind = RuntimeKind.LOCAL
    engine: Engine = Engine.DOCKER
    command_timeout_s: float = Field(default=180.0, gt=0)
    evaluation_timeout_s: float = Field(default=1800.0, gt=0)
    start_timeout_s: float = Field(default=900.0, gt=0)
    observation_chars: int = Field(default=10_000, ge=200)
    turn_tokens: int | None = Field(default=4096, ge=1)
    memory_mb: int = Field(default=2048, ge=128)
    pids: int = Field(default=256, ge=8)
    cpus: float = Field(default=2.0, gt=0)
    disk_mb: int = Field(default=256, ge=8)
    files: int = Field(default=32_768, ge=64)
    # The judge's sandbox has 64 user numbers for one process, and an evaluation needs one more than its rollout.
    at_once: int = Field(default=32, ge=1, le=60)
    min_level: str = Field(default="L2", pattern=r"^L[123]$")
