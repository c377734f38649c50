"""A real task in small: a copy of an installed pure-Python package with one operator changed, and hidden tests.

The change is executed: `check_task` runs the tests on it. The package is `iniconfig`, which pytest brings along.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from cleartrace.tools.shell.config import ShellConfig
from cleartrace.tools.shell.rows import WholeTask
from cleartrace.tools.shell.task import HiddenPart, ShellTask

SECRET = "hidden-test-canary-5d1e"
CONFIG = ShellConfig(command_timeout_s=20, evaluation_timeout_s=60, memory_mb=512, pids=64, disk_mb=32, files=4096)
FILE = "shapes/area.py"
RIGHT, WRONG = "return width * height", "return width + height"
SOURCE = f'''"""Areas of plane shapes."""


def rectangle(width, height):
    {RIGHT}


def square(side):
    return rectangle(side, side)
'''
VISIBLE_TEST = "from shapes.area import square\n\n\ndef test_two():\n    assert square(2) == 4\n"
HIDDEN_TEST = f"""# {SECRET}
import pytest

from shapes.area import rectangle, square


@pytest.mark.parametrize("sides", [(2, 3, 6), (5, 1, 5)])
def test_rectangle(sides):
    assert rectangle(*sides[:2]) == sides[2]


def test_square_of_two():
    assert square(2) == 4
"""
HIDDEN_FILE = "tests/test_hidden.py"
HIDDEN = HiddenPart(
    gold_patch=f"""diff --git a/{FILE} b/{FILE}
--- a/{FILE}
+++ b/{FILE}
@@ -2,5 +2,5 @@
 
 
 def rectangle(width, height):
-    {WRONG}
+    {RIGHT}
 
""",
    test_files={HIDDEN_FILE: HIDDEN_TEST},
    fail_to_pass=(f"{HIDDEN_FILE}::test_rectangle[sides0]", f"{HIDDEN_FILE}::test_rectangle[sides1]"),
    pass_to_pass=(f"{HIDDEN_FILE}::test_square_of_two", "tests/test_visible.py::test_two"),
)
FIX = f"sed -i 's/{WRONG}/{RIGHT}/' {FILE}"
SUBMIT = "echo MINI_SWE_AGENT_FINAL_OUTPUT && git add -A && git diff --cached"


def write_repository(folder: Path, source: str = SOURCE.replace(RIGHT, WRONG)) -> Path:
    """The mutated repository."""
    for name, text in {FILE: source, "shapes/__init__.py": "", "tests/test_visible.py": VISIBLE_TEST}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def small_task(folder: Path) -> WholeTask:
    """The task on a repository in `folder`, which is made."""
    task = ShellTask(
        instance_id="local__shapes.00000000.func_op__area",
        repo="shapes",
        problem_statement="The area of a rectangle of 2 by 3 is given as 5.",
        repository=str(write_repository(folder)),
    )
    return WholeTask(task, HIDDEN, "local")


def package_task(folder: Path, package: str, right: str, wrong: str, file: str, test: str) -> WholeTask:
    """A task on a copy of an installed package in which `right` is `wrong`."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    target = folder / package
    shutil.copytree(Path(spec.origin).parent, target, ignore=shutil.ignore_patterns("__pycache__"))
    text = (target / file).read_text()
    assert text.count(right) == 1
    (target / file).write_text(text.replace(right, wrong))
    task = ShellTask(
        instance_id=f"local__{package}.00000000.func_op__x",
        repo=package,
        problem_statement="Something is wrong.",
        repository=str(folder),
    )
    hidden = HiddenPart(test_files={"test_hidden.py": test}, fail_to_pass=("test_hidden.py::test_it",))
    return WholeTask(task, hidden, "local")
