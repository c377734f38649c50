"""Importing a package without the SDKs it names and we never call: they weigh a hundred times what it does.

A stand-in answers every attribute with a class, so that annotations, base classes and `except` clauses can be written
down. While the package is being imported a call of one gives None; afterwards it is an error that names the module.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_importing: list[Any] = []


class _Nothing(type):
    """Of classes that stand for what is not installed: they can be named, combined and inherited from."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        if _importing:
            return None
        raise ModuleNotFoundError(f"{cls.__module__} is not installed: `{cls.__name__}` is only a stand-in")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _named(cls.__module__, name)

    def __getitem__(cls, _: Any) -> Any:
        return cls

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__


def _named(module: str, name: str) -> Any:
    base = Exception if name.endswith(("Error", "Exception")) else object
    return _Nothing(name, (base,), {"__module__": module})


class _StandIn(ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _named(self.__name__, name)


class _Finder(Loader):
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if _within(name, self._names) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _within(name: str, names: Sequence[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in names)


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """While the block imports, those of the modules `names` that are not installed are stand-ins."""
    absent = [name for name in names if name not in sys.modules and not _installed(name)]
    finder = _Finder(absent)
    sys.meta_path.append(finder)
    _importing.append(finder)
    try:
        yield
    finally:
        _importing.remove(finder)
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _within(name, absent)]:
            del sys.modules[name]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False
