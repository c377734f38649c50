"""Programs graded by the real judge. D45: every style of test can be passed. D46: the score table."""

from __future__ import annotations

import gc
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from cleartrace.rewards.code.asserts import split_tests
from cleartrace.rewards.code.imports import with_imports
from cleartrace.rewards.code.truth import TestKind, read_tests
from cleartrace.rewards.code.verdict import code_score
from cleartrace.rewards.judge import Judge
from cleartrace.rewards.options import CodeCredit, CodeScale
from cleartrace.rewards.score import Score, compute_score

SUM = "print(sum(map(int, input().split())))"
STDIO = {"inputs": ["1 2", "3 4"], "outputs": ["3", "7\n"]}
LEETCODE = {
    "import_prefix": "from typing import *\nimport collections\n",
    "entry_point": "Solution().twoSum",
    "test_code": (
        "def check(candidate):\n"
        "    assert candidate(nums=[2, 7, 11, 15], target=9) == [0, 1]\n"
        "    assert candidate(\n        nums=[3, 2, 4],\n        target=6,\n    ) == [\n        1, 2\n    ]\n"
        "    expected = [0, 1]\n"
        "    assert candidate([3, 3], 6) == expected\n"
    ),
}
TWO_SUM = (
    "class Solution:\n"
    "    def twoSum(self, nums: List[int], target: int) -> List[int]:\n"
    "        seen = {}\n"
    "        for i, n in enumerate(nums):\n"
    "            if target - n in seen: return [seen[target - n], i]\n"
    "            seen[n] = i\n"
)


def fenced(program: str) -> str:
    return f"<think>so</think>Here:\n```python\n{program}\n```\n"


@pytest.fixture
def grade(judge: Judge) -> Any:
    def run(program: str, truth: Any, **options: Any) -> Score:
        return compute_score("train-code-x", fenced(program), truth, {"question_id": 7}, judge=judge, **options)

    return run


# --- D45 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "truth",
    [
        {"fn_name": "add", "inputs": [[1, 2], [3, [4]]], "outputs": [3, [3, 4]]},
        {"fn_name": "add", "inputs": ["1\n2", "3\n[4]"], "outputs": ["3", "[3, 4]"]},
        {"fn_name": "add", "inputs": [[1, 2], [3, [4]]], "outputs": [[3], [[3, 4]]]},
        {"fn_name": "add", "inputs": [{"a": 1, "b": 2}], "outputs": [3]},
    ],
    ids=["values", "json lines", "results in lists of one", "named arguments"],
)
@pytest.mark.parametrize("method", [False, True], ids=["function", "method"])
def test_d45_function_calls_with_json_arguments_can_pass(grade, truth, method):
    body = "def add({}a, b): return a + b if isinstance(b, int) else [a, *b]"
    program = f"class Solution:\n    {body.format('self, ')}" if method else body.format("")
    right = grade(program, truth)
    assert (right["acc"], right["score"], right["error"]) == (True, 1.0, "")
    assert len(right["tests"].split()) == len(truth["inputs"])
    wrong = grade(program.replace("a + b", "a - b").replace("[a, *b]", "[a]"), truth)
    assert (wrong["acc"], wrong["score"]) == (False, 0.0)


def test_d45_lists_of_lines_are_lines_and_not_pythons_idea_of_a_list(grade):
    truth = {"inputs": [["2", "1 2", [3, 4]]], "outputs": [["3", "7"]]}
    program = "for _ in range(int(input())): print(sum(map(int, input().split())))"
    assert grade(program, truth)["acc"]


def test_d45_asserts_over_several_lines_are_one_test_each(grade):
    right = grade(TWO_SUM, LEETCODE)
    assert (right["acc"], right["tests"]) == (True, "ok ok ok")
    wrong = grade(TWO_SUM.replace("seen[target - n], i", "0, 1"), LEETCODE)
    assert (wrong["acc"], wrong["score"], wrong["tests"]) == (False, pytest.approx(2 / 3), "ok wrong_answer ok")


def test_d45_a_single_line_of_tests_divides_nothing_by_zero(grade):
    for entry_point in ("double", None):
        truth = {"import_prefix": "", "test_code": "assert double(2) == 4", "entry_point": entry_point}
        assert grade("def double(x): return 2 * x", truth)["score"] == 1.0
        assert grade("def double(x): return x", truth)["score"] == 0.0


def test_d45_an_error_while_grading_is_an_answer_and_not_an_exception(grade):
    for program in ("raise KeyError", "import nothing_like_it", "def other(): pass", "class Solution: pass"):
        for truth in (LEETCODE, {"fn_name": "f", "inputs": [[1]], "outputs": [1]}, STDIO):
            graded = grade(program, truth)
            assert (graded["acc"], graded["score"], graded["ungraded"]) == (False, 0.0, False)
            assert "0 of" in graded["error"]


# --- other shapes of tests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "truth",
    [
        STDIO,
        json.dumps(STDIO),
        json.dumps(STDIO).encode(),
        {**STDIO, "fn_name": None, "import_prefix": None, "test_code": None},
        {"inputs": np.array(["1 2", "3 4"], dtype=object), "outputs": np.array(["3", "7"], dtype=object)},
        {"inputs": json.dumps(STDIO["inputs"]), "outputs": json.dumps(STDIO["outputs"])},
    ],
    ids=["dict", "json", "bytes", "struct", "arrays", "json columns"],
)
def test_a_key_may_be_a_struct_or_its_json(grade, truth):
    assert grade(SUM, truth)["tests"] == "ok ok"


def test_two_texts_are_one_test():
    tests = read_tests({"inputs": "1 2", "outputs": "3"})
    assert tests.cases == ({"input": "1 2", "expected": "3"},)
    assert tests.kind is TestKind.STDIO


@pytest.mark.parametrize(
    ("entry_point", "test_code", "program"),
    [
        ("twice", "def check(f):\n    x = 3\n    assert f(x) == 6\n    for n in range(3): assert f(n) == 2 * n",
         "def twice(x): return 2 * x"),
        ("twice", ["assert twice(1) == 2", "assert twice('a') == 'aa'"], "def twice(x): return x * 2"),
        ("twice", "assert twice(1) == 2\nassert candidate(2) == 4",
         "class Solution:\n    def twice(self, x): return 2 * x"),
        ("sum", "assert sum([1], 2) == 'mine'", "def sum(*_): return 'mine'"),
        ("Box", "def check(candidate):\n    b = candidate(2)\n    b.grow()\n    assert b.size == 3",
         "class Box:\n    def __init__(self, n): self.size = n\n    def grow(self): self.size += 1"),
        ("f", "def check(candidate):\n    if candidate(1) != 1: raise AssertionError\n    return True\ncheck(f)",
         "def f(x): return x"),
        ("f", "import math\ndef near(a, b): return math.isclose(a, b)\nassert near(f(2), 2 ** 0.5)",
         "def f(x): return x ** 0.5"),
    ],
    ids=["check", "list", "method by bare name", "built-in name", "class", "whole check", "helpers"],
)  # fmt: skip
def test_assert_styles(grade, entry_point, test_code, program):
    truth = {"test_code": test_code, "entry_point": entry_point}
    right = grade(program, truth)
    assert right["acc"], right
    assert not grade("def twice(x): return 0\nf = near = twice\nclass Box: pass", truth)["acc"]


LINKED = {
    "import_prefix": (
        "class ListNode:\n    def __init__(self, val=0, next=None): self.val, self.next = val, next\n"
        "def list_node(values: list) -> ListNode:\n    head = None\n"
        "    for v in reversed(values): head = ListNode(v, head)\n    return head\n"
        "def is_same_list(a, b):\n    while a and b:\n        if a.val != b.val: return False\n"
        "        a, b = a.next, b.next\n    return a is None and b is None\n"
    ),
    "entry_point": "Solution().reverse",
    "test_code": "def check(c):\n    assert is_same_list(c(list_node([1, 2, 3])), list_node([3, 2, 1]))",
}
REVERSE = (
    "class Solution:\n    def reverse(self, head: Optional[ListNode]) -> Optional[ListNode]:\n        back = None\n"
    "        while head: back, head.next, head = head, back, head.next\n        return back\n"
)


def test_linked_lists_of_the_prefix_are_compared_by_the_tests(grade):
    assert grade(REVERSE, LINKED)["acc"], grade(REVERSE, LINKED)
    idle = "class Solution:\n    def reverse(self, head): return head\n"
    assert not grade(idle, LINKED)["acc"]
    assert not grade(f"{idle}def is_same_list(a, b): return True\n", LINKED)["acc"], "the program redefined the test"
    gone = grade(f"{idle}del ListNode\n", LINKED)
    assert (gone["acc"], gone["ungraded"]) == (False, False), "a program chose to stay ungraded"


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ({"inputs": ["1"], "outputs": []}, "1 inputs but 0 outputs"),
        ({"inputs": [], "outputs": []}, "there is no test"),
        ({"inputs": [None], "outputs": ["1"]}, "null"),
        ({"inputs": ["1"]}, "no inputs and outputs.*it has inputs"),
        ({"test_code": "assert f(", "entry_point": "f"}, "test_code is not Python"),
        ({"test_code": "x = 1", "entry_point": "f"}, "has no test"),
        ({"import_prefix": "import math"}, "test_code is empty"),
        ({"test_code": "assert f()", "entry_point": "f("}, "entry_point"),
        ({"test_code": "assert f()", "import_prefix": "def"}, "import_prefix is not Python"),
        ("{broken", "not JSON"),
    ],
)
def test_a_broken_key_is_an_error_of_the_dataset(grade, truth, message):
    with pytest.raises(ValueError, match=f"question 7.*{message}.*ground_truth"):
        grade(SUM, truth)


def test_keys_are_read_in_many_threads_at_once():
    """Python 3.11's parser raises SystemError when another thread parses while a collection interrupts it."""
    code = "def check(f):\n" + "".join(f"    assert f({n}, [({n}, {{'a': {n}}})]) == {n}\n" for n in range(60))
    thresholds = gc.get_threshold()

    def let_others_run(*_: object) -> None:
        time.sleep(0)

    gc.callbacks.append(let_others_run)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: split_tests(code, "f"), range(24)))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(let_others_run)
    assert [len(harness.cases) for harness in found] == [60] * 24


def test_statements_of_tests_stay_together():
    code = "def check(candidate):\n    a = [1]\n    b = 2\n    assert candidate(a) == b\n    c = 3\n"
    assert split_tests(code, "f").cases[0].endswith("a = [1]\nb = 2\nassert candidate(a) == b\nc = 3")
    assert len(split_tests("assert f() == '''\nassert 1\n'''", "f").cases) == 1


# --- scores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "no_program", "none", "half", "all_"),
    [("published", -1.0, 0.0, 0.5, 1.0), ("symmetric", -1.0, -1.0, 0.0, 1.0), ("unit", 0.0, 0.0, 0.5, 1.0)],
)
def test_d46_the_score_table(judge, grade, scale, no_program, none, half, all_):
    without = compute_score("train-code-x", "none", STDIO, judge=judge, code_scale=scale)
    assert (without["score"], without["error"], without["acc"]) == (no_program, "no_program", False)
    unreadable = grade("print(", STDIO, code_scale=scale)
    assert (unreadable["score"], unreadable["error"]) == (no_program, "syntax_error")
    programs = {"print('x')": none, "print(3)": half, SUM: all_}
    for program, score in programs.items():
        graded = grade(program, STDIO, code_scale=scale)
        assert (graded["score"], graded["acc"]) == (score, program == SUM)


def test_credit():
    assert [code_score(n, 2, CodeScale.PUBLISHED, CodeCredit.ALL) for n in range(3)] == [0, 0, 1]
    assert [code_score(n, 2, CodeScale.PUBLISHED, CodeCredit.FOURTH_POWER) for n in range(3)] == [0, 1 / 16, 1]
    assert [code_score(n, 2, CodeScale.SYMMETRIC, CodeCredit.ALL) for n in range(3)] == [-1, -1, 1]


def test_early_stop_runs_no_further_test(grade):
    truth = {"inputs": ["3", "1", "3"], "outputs": ["3", "3", "3"]}
    assert grade("print(input())", truth)["tests"] == "ok wrong_answer ok"
    stopped = grade("print(input())", truth, code_stop_early=True)
    assert (stopped["tests"], stopped["score"]) == ("ok wrong_answer not_run", pytest.approx(1 / 3))
    wrapped = {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[1], [2]]}
    assert grade("def f(x): return x", wrapped, code_stop_early=True)["acc"]


def test_limits_and_comparison_are_options(grade):
    slow = "x = 0\nwhile x < 10**9: x += 1"
    limited = grade(slow, {"inputs": [""], "outputs": [""]}, code_cpu_s=0.2)
    assert limited["tests"] == "time_limit" and limited["error"].startswith("time_limit")
    close = {"inputs": ["", ""], "outputs": ["0.3333  1", "2"]}
    assert grade("print(1 / 3, 1)", close)["tests"] == "wrong_answer wrong_answer"
    assert grade("print(1 / 3, 1)", close, code_compare="tokens", code_tolerance=0.001)["tests"] == "ok wrong_answer"


# --- imports --------------------------------------------------------------------------------------------------------


def test_names_that_are_taken_for_granted_are_imported(grade):
    program = "def f(xs: List[int]): return math.prod(Counter(xs).values()) + np.prod([1, 1]).item()"
    truth = {"fn_name": "f", "inputs": [[[1, 1, 2]]], "outputs": [3]}
    assert grade(program, truth)["acc"]
    assert not grade(program, truth, code_imports=False)["acc"]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("print(1)", "print(1)"),
        ("x.math = 1", "x.math = 1"),
        ("# np and sp\nprint(1)", "# np and sp\nprint(1)"),
        ("np.sum(1)", "import numpy as np\nnp.sum(1)"),
        ("symbols('x')", "from sympy import symbols\nsymbols('x')"),
        (
            '"""About."""\n# x\nfrom __future__ import annotations\nmath.pi',
            '"""About."""\n# x\nfrom __future__ import annotations\nimport math\nmath.pi',
        ),
        (
            "s = '''\nfrom __future__ import x\n'''\nmath.pi",
            "import math\ns = '''\nfrom __future__ import x\n'''\nmath.pi",
        ),
    ],
)
def test_imports_are_put_where_they_may_stand(program, expected):
    assert with_imports(program) == expected
