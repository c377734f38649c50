"""The core stays light, and only the veRL layer knows veRL."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "ray", "verl", "transformers", "httpx")
CORE_FOLDERS = ("cleartrace", "code-judge", "benchmarks", "dataset")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_cleartrace_is_fast():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run_python("import cleartrace")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_import_cleartrace_pulls_in_nothing_heavy():
    code = f"import sys, cleartrace; print([name for name in {HEAVY} if name in sys.modules])"
    assert run_python(code) == "[]"


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", python_files(*CORE_FOLDERS, "recipe"), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_verl_layer_imports_verl_or_ray(path):
    assert not imported_packages(path) & {"verl", "ray"}


@pytest.mark.parametrize("path", python_files("cleartrace", "code-judge"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_does_not_import_the_verl_layer(path):
    assert "cleartrace_verl" not in imported_packages(path)


def test_the_verl_folder_never_shadows_verl():
    assert not (ROOT / "verl" / "__init__.py").exists()
    location = Path(run_python("import importlib.util as u; print(u.find_spec('verl').origin)"))
    assert ROOT / "verl" not in location.parents
    assert location.name == "__init__.py"
