"""Two tasks that are really run: a package of one file, and a mutated copy of an installed pure-Python package."""

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


MUTANT_FILE = "mdurl/_encode.py"
MUTANT_RIGHT, MUTANT_WRONG = "if code < 128:", "if code <= 128:"
MUTANT_FIX = f"sed -i 's/{MUTANT_WRONG}/{MUTANT_RIGHT}/' {MUTANT_FILE}"


def mutation_task(folder: Path) -> WholeTask:
    """A copy of the installed package mdurl in which one comparison is wrong."""
    spec = find_spec("mdurl")
    assert spec is not None and spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, folder / "mdurl", ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / MUTANT_FILE).read_text()
    assert text.count(MUTANT_RIGHT) == 1
    (folder / MUTANT_FILE).write_text(text.replace(MUTANT_RIGHT, MUTANT_WRONG))
    task = ShellTask(
        instance_id="pypi__mdurl.00000000.func_pm_op_change__00000000",
        repo="mdurl",
        problem_statement="mdurl.encode('\\x80') raises an IndexError, and should give '%C2%80'.",
        repository=str(folder),
    )
    test = f"""# {SECRET}
import mdurl


def test_first_byte_above_ascii():
    assert mdurl.encode("\\x80") == "%C2%80"


def test_blank():
    assert mdurl.encode("a b") == "a%20b"
"""
    ids = [f"{HIDDEN_FILE}::{name}" for name in ("test_first_byte_above_ascii", "test_blank")]
    hidden = HiddenPart(test_files={HIDDEN_FILE: test}, fail_to_pass=(ids[0],), pass_to_pass=(ids[1],))
    return WholeTask(task, hidden, "mutation")


def new_file_diff(name: str, text: str) -> str:
    """A diff that adds a file."""
    lines = text.splitlines()
    body = "".join(f"+{line}\n" for line in lines)
    return (
        f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n"
        f"@@ -0,0 +1,{len(lines)} @@\n{body}"
    )
