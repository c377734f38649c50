"""Environments by name: ours, and those other packages announce. Naming one imports nothing but its own adapter."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from cleartrace.environments.protocol import Environment
from cleartrace.llm.protocol import Message

GROUP = "cleartrace.environments"
"""Entry points `name = "module:Class"` of this group are environments."""

Complete = Callable[[Sequence[Message]], str]
"""Answers as a model would: how an environment speaks for a simulated user. Blocks."""


class MissingPackage(ImportError):
    """The package that an adapter wraps is not installed here."""


@dataclass(frozen=True)
class Adapter:
    """Where an environment's class is. `package`: the module it wraps, "" when it needs none.

    `install`: how to get the package, for messages.
    """

    name: str
    target: str
    package: str = ""
    install: str = ""


def _ours(name: str, target: str, package: str = "", install: str = "") -> Adapter:
    return Adapter(
        name, f"cleartrace.environments.{target}", package, install or f"cleartrace environments install {name}"
    )


_OURS = {
    adapter.name: adapter
    for adapter in (
        _ours("agentdojo", "agentdojo:AgentDojo", "agentdojo"),
        _ours("bfcl", "bfcl:Bfcl", "bfcl_eval"),
        _ours("tau2", "tau2:Tau2", "tau2"),
        _ours("ruleworld", "ruleworld:RuleWorld"),
        _ours("scienceworld", "scienceworld:ScienceWorld", "scienceworld"),
        _ours("textworld", "textworld:TextWorldExpress", "textworld_express"),
        _ours("rewardbench", "rewardbench:RewardBench"),
        _ours("appworld", "appworld:AppWorld"),
        _ours("browsecomp", "browsecomp:BrowseComp"),
        _ours("webshop", "webshop:WebShop"),
    )
}


@cache
def adapters() -> dict[str, Adapter]:
    """By name. Ours are known without being installed, so that a checkout works as it is."""
    announced = {point.name: Adapter(point.name, point.value) for point in entry_points(group=GROUP)}
    return dict(sorted((announced | _OURS).items()))


def find(name: str) -> Adapter:
    """The adapter called `name`; `module:Class` and `path/to/file.py:Class` name one that nobody announced.

    Raises: ValueError with the nearest name.
    """
    if ":" in name:
        return Adapter(name, name)
    if name in _OURS:
        return _OURS[name]
    if name not in adapters():
        raise ValueError(f"no environment is called {name!r}{_nearest(name, adapters())}")
    return adapters()[name]


def load(name: str, *, complete: Complete | None = None, **options: Any) -> Environment:
    """The environment called `name`, in this process. `complete` serves those that simulate a user.

    Raises: ValueError for an unknown name, an unknown option or a value its class refuses; `MissingPackage`.
    """
    adapter = find(name)
    if adapter.package and importlib.util.find_spec(adapter.package) is None:
        raise MissingPackage(f"the environment {name} needs the package {adapter.package}: {adapter.install}")
    made = _class(adapter)
    known = inspect.signature(made).parameters
    settable = [parameter for parameter in known if parameter != "complete"]
    for option in options:
        if option not in settable:
            raise ValueError(f"the environment {name} has no option {option!r}{_nearest(option, settable)}")
    if "complete" in known:
        options["complete"] = complete
    return made(**options)


def _class(adapter: Adapter) -> Callable[..., Environment]:
    module, _, attribute = adapter.target.rpartition(":")
    try:
        loaded = _from_file(Path(module)) if module.endswith(".py") else importlib.import_module(module)
        return getattr(loaded, attribute)
    except (AttributeError, OSError) as error:
        raise ValueError(f"{adapter.target} is no environment: {error}") from None


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise OSError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}? There are: {', '.join(names)}" if near else "; there are none"
