"""Small trajectories on a crafted repository, in the forms of the published data."""

from __future__ import annotations

import difflib
import json

REPO = "acme__shapes.0a1b2c3d"
FILE = "shapes/area.py"
GOOD = '''"""Areas."""
import math


class Box:
    def area(self):
        width = self.right - self.left
        height = self.top - self.bottom
        return width * height

    def around(self):
        return 2 * (self.right - self.left + self.top - self.bottom)


def circle(radius):
    return math.pi * radius * radius
'''
MUTATIONS = {
    "area1": ("        return width * height", "        return width + height"),
    "area2": ("        width = self.right - self.left", "        width = self.right + self.left"),
    "area3": ("        height = self.top - self.bottom", "        height = self.bottom - self.top"),
    "circ1": ("    return math.pi * radius * radius", "    return math.pi * radius + radius"),
}
CALLS = {"area1": "Box.area", "area2": "Box.area", "area3": "Box.area", "circ1": "circle"}


def instance_id(name: str, kind: str = "func_pm_op_change") -> str:
    return f"{REPO}.{kind}__{name}"


def buggy(name: str) -> str:
    good, bad = MUTATIONS[name]
    assert good in GOOD
    return GOOD.replace(good, bad)


def diff(old: str, new: str, path: str = FILE, section: str = "") -> str:
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{path}", f"b/{path}", lineterm=""))
    return "\n".join((f"diff --git a/{path} b/{path}", "index 1111111..2222222 100644", *lines))


def said(thought: str, command: str) -> dict:
    return {"role": "assistant", "content": f"THOUGHT: {thought}\n\n```bash\n{command}\n```"}


def shown(output: str) -> dict:
    return {"role": "user", "content": f"<returncode>0</returncode>\n<output>\n{output}\n</output>"}


def messages(name: str, extra_turns: int = 0, view: str = "cat") -> list[dict]:
    """A run that greps, views, tests, edits, looks again, tests again and submits."""
    good, bad = MUTATIONS[name]
    call = CALLS[name]
    numbered = "\n".join(f"{i:6}\t{line}" for i, line in enumerate(buggy(name).splitlines(), 1))
    issue = f"Calling `{call}()` of shapes.area gives a wrong number for case {name}: see {call}() on a unit square."
    return [
        {"role": "system", "content": "You are an agent. Finish with echo MINI_SWE_AGENT_FINAL_OUTPUT."},
        {"role": "user", "content": f"<pr_description>\n{issue}\n</pr_description>\nSolve it."},
        said("I look for the function.", f"grep -rn 'def {call.rpartition('.')[2]}' shapes"),
        shown(f"{FILE}:6:    def {call.rpartition('.')[2]}(self):"),
        *[part for _ in range(extra_turns) for part in (said("I look around.", "ls"), shown("shapes tests"))],
        said("I read it.", f"cat {FILE}" if view == "cat" else f"cat -n {FILE}"),
        shown(buggy(name) if view == "cat" else numbered),
        said("I run the check.", "python -m unittest tests.test_area"),
        shown(f"FAIL: test_{name}\nAssertionError: {len(name)}.0 != {ord(name[-1])}.5"),
        said("I mend it.", f"sed -i 's/{bad.strip()}/{good.strip()}/' {FILE}"),
        shown(""),
        said("I look at the change.", f"git diff && sed -n '1,20p' {FILE}"),
        shown(f"{diff(buggy(name), GOOD)}\n{GOOD}"),
        said("I run the check again.", "python -m unittest tests.test_area"),
        shown("OK"),
        said("Done.", "echo MINI_SWE_AGENT_FINAL_OUTPUT && git add -A && git diff --cached"),
        shown("MINI_SWE_AGENT_FINAL_OUTPUT\n" + diff(buggy(name), GOOD)),
    ]


def klear(name: str, **options: object) -> dict:
    return {"instance_id": instance_id(name), "messages": messages(name, **options)}  # pyright: ignore[reportArgumentType]


def smith(name: str) -> dict:
    row = klear(name)
    return {**row, "messages": json.dumps(row["messages"]), "resolved": True, "patch": diff(buggy(name), GOOD)}


def nebius(name: str) -> dict:
    roles = {"assistant": "ai", "user": "user", "system": "system"}
    turns = [{"role": roles[m["role"]], "text": m["content"], "mask": False} for m in messages(name)]
    turns[0] = {"role": "system", "text": None, "system_prompt": turns[0]["text"], "mask": False}
    return {
        "instance_id": instance_id(name),
        "trajectory": turns,
        "generated_patch": diff(buggy(name), GOOD),
        "target": True,
        "exit_status": "submitted",
    }


def task(name: str) -> dict:
    """A row of the task table. In SWE-smith the patch of an instance puts the bug in."""
    return {
        "instance_id": instance_id(name),
        "patch": diff(GOOD, buggy(name)),
        "FAIL_TO_PASS": [f"tests/test_area.py::test_{name}"],
        "problem_statement": "",
    }
