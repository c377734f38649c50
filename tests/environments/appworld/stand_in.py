"""A folder and an interpreter in the shape that AppWorld has, for contract tests of the adapter.

The module `appworld` written here plays back exchanges recorded by hand in the package's formats: what `execute`
returns, what `TestTracker.to_dict()` gives, what errors say.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CANARY = "canary-of-the-tests"

MODULE = """
import json, os, sys, time
from pathlib import Path

__version__ = "0.1.3.post1"
ROOT = []

def update_root(root):
    ROOT[:] = [root]
    print("noise on standard output")
    return root

class Task:
    def __init__(self, specs):
        self.instruction, self.datetime, self.supervisor = specs["instruction"], specs["datetime"], specs["supervisor"]
        self.app_descriptions = {"notes": "Keeps notes."}

class Tracker:
    def __init__(self, report):
        self.report = report
    def to_dict(self, stats_only=False):
        return self.report

class AppWorld:
    def __init__(self, task_id, experiment_name, timeout_seconds, raise_on_failure):
        task = Path(ROOT[0], "data", "tasks", task_id)
        self.task = Task(json.loads((task / "specs.json").read_text()))
        self.tape = json.loads((task / "tape.json").read_text())
        if self.tape.get("broken"):
            raise Exception(self.tape["broken"])
        self.outputs = Path(ROOT[0], "experiments", "outputs", experiment_name)
        self.outputs.mkdir(parents=True)
        Path(ROOT[0], "variables.txt").write_text("\\n".join(os.environ))
        with open(Path(ROOT[0], "log.txt"), "a") as log:
            log.write(f"built {task_id} {os.getpid()} {timeout_seconds} {raise_on_failure}\\n")
        self.done, self.passing = False, set()
    def execute(self, code):
        print("noise of a cell")
        played = self.tape["executions"][code]
        time.sleep(played.get("sleep", 0))
        if "raise" in played:
            raise Exception(played["raise"])
        if "exit" in played:
            os._exit(played["exit"])
        self.done = self.done or played.get("completes", False)
        self.passing |= set(played.get("satisfies", []))
        return played["output"]
    def task_completed(self):
        return self.done
    def evaluate(self, suppress_errors=True):
        tests = self.tape["tests"]
        label = {"label": "no_op_fail"}
        passes = [{"requirement": name, **label} for name in tests if name in self.passing]
        failures = [{"requirement": name, "trace": tests[name], **label} for name in tests if name not in self.passing]
        report = {"success": not failures, "difficulty": 1, "num_tests": len(tests)}
        return Tracker({**report, "passes": passes, "failures": failures})
    def close(self):
        with open(Path(ROOT[0], "log.txt"), "a") as log:
            log.write("closed\\n")
"""

SOLVE = "solve()\nsolution(apis, requester)"
TAPE: dict[str, Any] = {
    "tests": {"the note exists": f"AssertionError: {CANARY}", "nothing else changed": "AssertionError: 1 == 0"},
    "executions": {
        SOLVE: {
            "output": "Execution successful.",
            "completes": True,
            "satisfies": ["the note exists", "nothing else changed"],
        },
        "print(1)": {"output": "1\n", "satisfies": ["nothing else changed"]},
        "loop()": {"output": "Execution failed. Traceback:\nExecution timed out after 1 seconds."},
        "hang()": {"output": "", "sleep": 60},
        "1/0": {"output": "Execution failed. Traceback:\n  line 1\nZeroDivisionError: division by zero"},
        "long()": {"output": "x" * 500},
        "half()": {"output": "\ud83d"},
        "lose the database": {"raise": "(sqlite3.ProgrammingError) Cannot operate on a closed database."},
        "end the process": {"exit": 3},
    },
}


def write(folder: Path, tasks: dict[str, str], tapes: dict[str, dict[str, Any]] | None = None) -> tuple[Path, Path]:
    """The data root with `tasks` (id to split), and an interpreter that has the module."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    (packages / "appworld.py").write_text(MODULE)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    root = folder / "root"
    for split in set(tasks.values()):
        listed = "".join(f"{task}:tag\n" for task, name in tasks.items() if name == split)
        _put(root / "data" / "datasets" / f"{split}.txt", listed)
    for task in tasks:
        _put_task(root / "data" / "tasks" / task, (tapes or {}).get(task, TAPE))
    return root, python


def _put_task(folder: Path, tape: dict[str, Any]) -> None:
    person = {"first_name": "Ada", "last_name": "Byron", "email": "ada@mail.example", "phone_number": "555"}
    specs = {"instruction": f"Write note {folder.name}.", "datetime": "2023-05-18T12:00:00", "supervisor": person}
    _put(folder / "specs.json", json.dumps(specs))
    _put(folder / "tape.json", json.dumps(tape))
    _put(folder / "ground_truth" / "compiled_solution.py", "# Canary String: none\nsolve()\n")


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
