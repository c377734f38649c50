"""What the probes find out, as plain data. The checks read nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Trial:
    """Something that was tried. `detail` describes the success or holds the error."""

    worked: bool
    detail: str


@dataclass(frozen=True)
class PolicyFiles:
    """The shipped policy on disk. `differing` is None when no checksum file lies beside it."""

    folder: str
    missing: tuple[str, ...] = ()
    differing: tuple[str, ...] | None = None


@dataclass(frozen=True)
class VerlFacts:
    """Answer of `python -m cleartrace_verl.doctor_probe`; `error` says why there is none."""

    error: str = ""
    unregistered: tuple[str, ...] = ()
    device: str = ""
    gpus: int = 0
    engines: tuple[str, ...] = ()
    """Importable GPU rollout engines."""
    policy: Trial | None = None
    """Loading the shipped policy and generating from it."""

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> VerlFacts:
        policy = answer["policy"]
        return cls(
            unregistered=tuple(answer["unregistered"]),
            device=answer["device"],
            gpus=answer["gpus"],
            engines=tuple(answer["engines"]),
            policy=None if policy is None else Trial(policy["worked"], policy["detail"]),
        )


@dataclass(frozen=True)
class Facts:
    """Everything about this machine that a run depends on. Sizes in bytes; `shm` None: there is no /dev/shm."""

    python: tuple[int, int, int]
    packages: dict[str, str | None] = field(default_factory=dict)
    """Installed version by distribution name; None when it is not installed."""
    memory: int = 0
    disk: int = 0
    shm: int | None = None
    ray_disk: int = 0
    """Free where Ray keeps its session folder."""
    cpus: int = 0
    port: int | None = None
    """The port asked about; None when any free one will do."""
    port_trial: Trial = Trial(True, "")
    run_folder: Trial = Trial(True, "")
    policy: PolicyFiles = PolicyFiles("")
    valkey: Trial = Trial(True, "")
    judge: Trial = Trial(True, "")
    verl: VerlFacts = VerlFacts()
