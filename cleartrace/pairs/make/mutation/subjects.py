"""Which functions are broken: those of installed pure-Python packages that can be called with plain data."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cleartrace.pairs.make.mutation.mutators import Function, functions

MODULES = (
    "packaging.utils", "packaging.version", "packaging.tags", "jinja2.filters", "jinja2.utils", "click.formatting",
    "click.utils", "markdown_it.common.utils", "mpmath.libmp.libintmath", "mpmath.libmp.libmpf",
    "mpmath.libmp.gammazeta", "mpmath.math2", "idna.core", "idna.intranges", "pygments.util", "rich.cells",
    "rich._ratio", "rich.filesize", "urllib3.util.url", "jsonschema._utils", "werkzeug.http", "werkzeug.urls",
    "markdown.util", "markdown.serializers", "dateutil.easter",
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    """`root`: the installed package or single file. `commit`: 8 hex digits of its Python files."""

    distribution: str
    version: str
    root: Path
    commit: str

    @property
    def repository(self) -> str:
        return f"pypi__{self.distribution}.{self.commit}"


@dataclass(frozen=True)
class Subject:
    """One function. `path`: of its file from the folder that holds the package."""

    package: Package
    module: str
    path: str
    name: str

    @property
    def qualified(self) -> str:
        return f"{self.module}.{self.name}"


def _distribution(top: str) -> tuple[str, str]:
    names = importlib.metadata.packages_distributions().get(top) or [top]
    try:
        return names[0], importlib.metadata.version(names[0])
    except importlib.metadata.PackageNotFoundError:
        return top, "0"


def find_package(module: str) -> Package | None:
    """The installed package of a module; None where it is not installed."""
    top = module.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    origin = Path(spec.origin)
    root = origin.parent if origin.name == "__init__.py" else origin
    files = sorted(root.rglob("*.py")) if root.is_dir() else [root]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return Package(*_distribution(top), root, digest.hexdigest()[:8])


def _required(function: Function) -> int:
    return len(function.args.posonlyargs) + len(function.args.args) - len(function.args.defaults)


def _callable_with_data(function: Function) -> bool:
    needs_names = any(default is None for default in function.args.kw_defaults)
    return not needs_names and 1 <= _required(function) <= 3 and isinstance(function, ast.FunctionDef)


def find_subjects(modules: Iterable[str]) -> list[Subject]:
    """Functions of the modules with one to three required arguments, in the order given; missing modules give none."""
    packages: dict[str, Package | None] = {}
    found: list[Subject] = []
    for module in modules:
        top = module.partition(".")[0]
        package = packages[top] if top in packages else packages.setdefault(top, find_package(module))
        file = package and package.root.parent / (module.replace(".", "/") + ".py")
        if package is None or file is None or not file.is_file():
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        path = file.relative_to(package.root.parent).as_posix()
        found += [Subject(package, module, path, f.name) for f in functions(tree) if _callable_with_data(f)]
    return found


def arguments_of(source: str, name: str) -> tuple[str, ...]:
    """Names of the required arguments of a function."""
    function = next(f for f in functions(ast.parse(source)) if f.name == name)
    positional = [*function.args.posonlyargs, *function.args.args]
    return tuple(argument.arg for argument in positional[: _required(function)])
