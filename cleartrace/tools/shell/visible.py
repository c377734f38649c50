"""Which files of this Python environment a local sandbox shows: the standard library and the packages a task names.

Everything else of the environment is left out, so that a task made from an installed package does not stand beside
its solution.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9._-]+")
# Copies of packages in other places: wheels that are kept for new environments.
_COPIES = ("ensurepip/_bundled", "site-packages")
_SYSTEM_COPIES = (Path("/usr/lib/python3/dist-packages"), Path("/usr/share/python-wheels"))


class NotVisible(ValueError):
    """A package that a task needs and this environment cannot show."""


@dataclass(frozen=True)
class Visible:
    """Paths to show read-only, and directories to cover among them."""

    trees: tuple[str, ...]
    hidden: tuple[str, ...]


def closure(packages: Iterable[str]) -> tuple[str, ...]:
    """Distributions and what they need, extras left out, normalised. Raises NotVisible for one that is not there."""
    found: dict[str, None] = {}
    todo = [(normal(name), True) for name in packages]
    while todo:
        name, required = todo.pop()
        if name in found:
            continue
        try:
            needs = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            if required:
                raise NotVisible(f"package {name!r} is not installed in {sys.prefix}: a task needs it") from None
            continue  # for another platform or Python, said by a marker that is not read here
        found[name] = None
        plain = [need for need in needs if "extra ==" not in need]
        todo += [(normal(match[0]), False) for need in plain if (match := _NAME.match(need))]
    return tuple(found)


def normal(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def visible(packages: Iterable[str]) -> Visible:
    """What to show for `packages`. Raises NotVisible, also outside of a virtual environment."""
    if sys.prefix == sys.base_prefix:
        raise NotVisible("a local sandbox needs cleartrace in a virtual environment, whose packages it can leave out")
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    environment = [Path(sys.prefix) / "bin", Path(sys.prefix) / "pyvenv.cfg", Path(sys.base_prefix)]
    parts = {part for name in closure(packages) for part in _parts(name)}
    covered = [stdlib / copy for copy in _COPIES] + list(_SYSTEM_COPIES)
    return Visible(
        tuple(str(path) for path in (*environment, *sorted(parts)) if path.exists()),
        tuple(str(path) for path in covered if path.is_dir()),
    )


def _parts(name: str) -> set[Path]:
    """Top entries of a distribution in site-packages."""
    distribution = metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
    return {Path(str(distribution.locate_file(top))) for top in tops}
