"""How a submission becomes files and commands. The user's text is written as it is: nothing before, nothing after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from code_judge.settings import Settings

_CELL = Path(__file__).with_name("cell.py").read_text()


@dataclass(frozen=True)
class Plan:
    """`compile` is None for languages without a compile step. Commands run in the work directory."""

    source_name: str
    compile: list[str] | None
    run: list[str]


def _python(settings: Settings, echo: bool) -> Plan:
    script = ["-c", _CELL] if echo else ["main.py"]
    return Plan("main.py", None, [settings.python, *script])


def _cpp(settings: Settings, echo: bool) -> Plan:
    return Plan("main.cpp", [settings.cxx, "-O2", "-o", "main", "main.cpp"], ["./main"])


_PLANS: dict[str, Callable[[Settings, bool], Plan]] = {"python": _python, "cpp": _cpp}
LANGUAGES = tuple(_PLANS)


def plan_for(language: str, settings: Settings, echo: bool) -> Plan:
    """Raises KeyError for a language that has no plan."""
    return _PLANS[language](settings, echo)


def clean_environment(work_dir: Path) -> dict[str, str]:
    """All that a run sees. One hash seed for all runs keeps a program's output the same each time."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work_dir),
        "TMPDIR": str(work_dir),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **threads,
    }
