"""Packages of environments in virtual environments of their own, so that their pins clash with nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from cleartrace.environments.registry import Adapter, MissingPackage, find

PLACES = "CLEARTRACE_ENVIRONMENTS"
"""Environment variable: a folder where installed environments are looked for first, and put."""

_REQUIREMENTS = Path(__file__).parent / "requirements"
_STAMP = "cleartrace.stamp"


def requirements(name: str) -> Path:
    """The pinned packages of an environment, without what only its other users need.

    Raises: ValueError where there is nothing to install.
    """
    path = _REQUIREMENTS / f"{name}.txt"
    if not path.is_file():
        raise ValueError(f"the environment {find(name).name} has nothing to install in a place of its own")
    return path


def places() -> list[Path]:
    """Where installed environments are looked for: the named folder, this virtual environment, the user's cache."""
    named = [Path(os.environ[PLACES])] if os.environ.get(PLACES) else []
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [*named, Path(sys.prefix) / "environments", cache / "cleartrace" / "environments"]


def default_place() -> Path:
    return Path(os.environ[PLACES]) if os.environ.get(PLACES) else places()[-1]


def interpreter(adapter: Adapter) -> str | None:
    """The interpreter that has the adapter's package; None for this one.

    Raises: `MissingPackage` where none has it.
    """
    if not adapter.package:
        return None
    for place in places():
        if is_current(place / adapter.name, adapter.name):
            return str(_python(place / adapter.name))
    if importlib.util.find_spec(adapter.package) is None:
        raise MissingPackage(f"the environment {adapter.name} needs the package {adapter.package}: {adapter.install}")
    return None


def is_current(folder: Path, name: str) -> bool:
    """Whether `folder` holds the environment's packages as they are pinned today."""
    stamp = folder / _STAMP
    return stamp.is_file() and _python(folder).exists() and stamp.read_text() == _fingerprint(name)


def install(name: str, into: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Path:
    """Make the virtual environment `into`/`name`, whole or not at all; one that is current is left as it is.

    Raises: ValueError for a name without packages; OSError with the installer's words.
    """
    listed = requirements(name)
    folder = (into or default_place()) / name
    if is_current(folder, name):
        say(f"{folder} is up to date")
        return folder
    partial = folder.with_name(f".{name}.{os.getpid()}.part")
    try:
        say(f"installing {name} into {folder}")
        _fill(partial, listed)
        (partial / _STAMP).write_text(_fingerprint(name))
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _fill(folder: Path, listed: Path) -> None:
    with_pip = importlib.util.find_spec("pip") is None
    venv.create(folder, clear=True, symlinks=True, with_pip=with_pip)
    python = str(_python(folder))
    pip = [python, "-m", "pip"] if with_pip else [sys.executable, "-m", "pip", "--python", python]
    # No dependencies: the list is complete, and leaves out the providers' SDKs that the packages name but adapters
    # never call.
    flags = ["--disable-pip-version-check", "--quiet", "--no-deps", "--no-compile"]
    done = subprocess.run([*pip, "install", *flags, "-r", str(listed)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"pip could not install {listed.name}:\n{done.stderr.strip()[-2000:]}")


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _fingerprint(name: str) -> str:
    """Changes with the pins and with the interpreter that a virtual environment was made from."""
    path = _REQUIREMENTS / f"{name}.txt"
    pins = path.read_bytes() if path.is_file() else b""
    return hashlib.sha256(pins + sys.version.encode()).hexdigest()
