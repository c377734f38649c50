"""Suites of tests on one program: verdicts per case, and no way to pass but by being right (T14, J16, J18, A28-A30)."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from code_judge.executor import Executor, build_cache
from code_judge.jobs import Compare, Job, Outcome, Report, RunLimits, Suite, SuiteKind
from code_judge.languages import Compiler
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import Host
from code_judge.sandbox.interpreter import Interpreter
from code_judge.sandbox.levels import Level
from code_judge.sandbox.probe import choose
from code_judge.sandbox.syscalls import become_subreaper
from code_judge.slots import SlotPool
from code_judge.suites import begin

LIMITS = RunLimits(cpu_s=1.0, wall_s=3.0, memory_mb=256, output_bytes=1 << 16, output_chars=1000)


class Runner:
    """Runs suites on slots of its own."""

    def __init__(self, base_dir: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.executor = self.loop.run_until_complete(self._start(base_dir))

    def __call__(self, source: str, suite: Suite, language: str = "python") -> Report:
        job = Job("job", language, source, None, False, LIMITS, suite)
        return self.loop.run_until_complete(self.executor.execute(Job.loads(job.dumps())))

    async def _start(self, base_dir: Path) -> Executor:
        become_subreaper()
        host = Host(Interpreter.ask(sys.executable), base_dir, CgroupHome.find())
        means, isolation = await choose(host, Level.L0)
        return Executor(SlotPool(host, means, 2), isolation, Compiler.find("g++"), build_cache(base_dir))

    async def stop(self) -> None:
        self.executor.slots.close()


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    base_dir = tmp_path_factory.mktemp("suites")
    for directory in (base_dir, *base_dir.parents[:3]):
        directory.chmod(directory.stat().st_mode | 0o011)
    runner = Runner(base_dir)
    yield runner
    runner.loop.run_until_complete(runner.stop())
    runner.loop.close()


def outcomes(report: Report) -> list[str]:
    assert report.cases is not None, report
    return [case["outcome"] for case in report.cases]


def stdio(*cases: tuple[str, str], **more: Any) -> Suite:
    return Suite(SuiteKind.STDIO, [{"input": given, "expected": wanted} for given, wanted in cases], **more)


def calls(entry_point: str, *cases: tuple[list[Any], Any], **more: Any) -> Suite:
    rows = [{"args": given, "expected": wanted} for given, wanted in cases]
    return Suite(SuiteKind.CALL, rows, entry_point=entry_point, **more)


def asserts(*codes: str, **more: Any) -> Suite:
    return Suite(SuiteKind.ASSERT, [{"code": code} for code in codes], **more)


def test_each_stdio_case_has_its_own_verdict(suite: Runner) -> None:
    source = "n = int(input())\nwhile n == 3: pass\nprint(10 // n)"
    report = suite(source, stdio(("5", "2"), ("4", "3"), ("0", "0"), ("3", "1"), ("1", "10\n")))
    assert outcomes(report) == ["ok", "wrong_answer", "runtime_error", "time_limit", "ok"]
    assert report.outcome is Outcome.WRONG_ANSWER
    assert report.cases is not None and report.cases[2]["error_class"] == "ZeroDivisionError"


def test_early_stop_runs_nothing_after_the_first_failure(suite: Runner) -> None:
    report = suite("print(input())", stdio(("1", "1"), ("2", "x"), ("3", "3"), stop_early=True))
    assert outcomes(report) == ["ok", "wrong_answer", "not_run"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_a_cpp_program_is_compiled_once_for_all_cases(suite: Runner) -> None:
    source = '#include <cstdio>\nint main(){int a;scanf("%d",&a);printf("%d\\n",a*2);}'
    report = suite(source, stdio(*((str(n), str(2 * n)) for n in range(20))), language="cpp")
    assert outcomes(report) == ["ok"] * 20
    assert suite("int main( {", stdio(("1", "1")), language="cpp").outcome is Outcome.COMPILE_ERROR


@pytest.mark.parametrize(
    ("how", "printed", "expected", "equal"),
    [
        (Compare.STRIP, "a  b\n\n", "a  b", True),
        (Compare.STRIP, "a \nb", "a\nb", False),
        (Compare.LINES, "a \nb\n\n", "a\nb", True),
        (Compare.LINES, "a\n\nb", "a\nb", False),
        (Compare.TOKENS, "1.50   x", "1.5 x", True),
        (Compare.TOKENS, "1.5 y", "1.5 x", False),
    ],
)
def test_outputs_are_compared_as_asked(suite: Runner, how: Compare, printed: str, expected: str, equal: bool) -> None:
    report = suite(f"print({printed!r})", stdio(("", expected), compare=how))
    assert (report.outcome is Outcome.OK) is equal


def test_calls_compare_values_and_start_from_the_loaded_program(suite: Runner) -> None:
    source = "seen = []\ndef f(x):\n    seen.append(x)\n    return (len(seen), {'a': [x, float(x)]})"
    rows = [([n], [1, {"a": [n, n]}]) for n in range(3)]
    report = suite(source, calls("f", *rows, ([7], [2, {"a": [7, 7]}])))
    assert outcomes(report) == ["ok", "ok", "ok", "wrong_answer"]


def test_calls_reach_methods_keywords_and_big_numbers(suite: Runner) -> None:
    source = "class Solution:\n    def go(self, n, by=1):\n        print('side')\n        return n * by"
    cases = [
        {"args": [10**30], "expected": 10**30},
        {"args": ["ab"], "kwargs": {"by": 2}, "expected": "abab"},
        {"args": [True], "expected": True},
    ]
    report = suite(source, Suite(SuiteKind.CALL, cases, entry_point="Solution.go"))
    assert outcomes(report) == ["ok", "ok", "wrong_answer"]  # True * 1 is 1
    assert report.cases is not None and report.cases[0]["stdout"] == "side\n"
    assert outcomes(suite(source, calls("go", ([2], 2)))) == ["ok"]


def test_a_call_that_fails_does_not_take_its_neighbours_along(suite: Runner) -> None:
    source = (
        "import os\ndef f(n):\n    if n == 1: os._exit(0)\n    if n == 2:\n        while True: pass\n"
        "    if n == 3: return lambda: 0\n    if n == 4: return bytearray(1 << 30)\n    return n"
    )
    report = suite(source, calls("f", *(([n], n) for n in range(6))))
    assert outcomes(report) == ["ok", "runtime_error", "time_limit", "runtime_error", "memory_limit", "ok"]


def test_a_program_that_cannot_be_loaded_runs_no_case(suite: Runner) -> None:
    report = suite("import nothing_like_it", calls("f", ([1], 1)))
    assert (report.outcome, outcomes(report)) == (Outcome.RUNTIME_ERROR, ["not_run"])
    assert (report.error_class, report.error_line) == ("ModuleNotFoundError", 1)
    assert suite("def f(", asserts("assert f(1) == 1")).error_class == "SyntaxError"


def test_the_main_block_of_a_program_under_test_is_not_run(suite: Runner) -> None:
    report = suite("def f(): return 1\nif __name__ == '__main__':\n    print(f(), input())", calls("f", ([], 1)))
    assert outcomes(report) == ["ok"]


PROGRAM = """
import heapq
class Overdrawn(ValueError): pass
class Account:
    total = 0
    def __init__(self, owner, amount=0): self.owner, self.amount = owner, amount
    def take(self, n):
        if n > self.amount: raise Overdrawn("too much", n)
        self.amount -= n
        return self
    def __eq__(self, other): return self.owner == other.owner
    def __len__(self): return self.amount
    def __contains__(self, n): return n <= self.amount
    def __add__(self, n): return Account(self.owner, self.amount + n)
def sort(values): values.sort()
def apply(f, values): return [f(v) for v in values]
def pairs(n):
    for i in range(n): yield (i, {i: {i}})
def find(x): return None
"""


def test_usual_tests_pass_across_the_two_processes(suite: Runner) -> None:
    report = suite(
        PROGRAM,
        asserts(
            "a = Account('me', 5)\nassert a.take(2) is not None and a.amount == 3 and len(a) == 3",
            "assert Account('x') == Account('x') != Account('y') and isinstance(a, Account) and 3 in a",
            "try:\n    a.take(9)\n    assert False\nexcept Overdrawn as e:\n    assert e.args == ('too much', 9)",
            "try:\n    a.take(9)\nexcept ValueError as e:\n    assert 'too much' in str(e)\nelse:\n    assert False",
            "v = [3, 1, 2]\nsort(v)\nassert v == [1, 2, 3]",
            "def twice(x): return 2 * x\nassert apply(twice, [1, 2]) == [2, 4]",
            "assert list(pairs(2)) == [(0, {0: {0}}), (1, {1: {1}})] and [p for p in pairs(0)] == []",
            "from solution import Account as B, find\nassert B('z').owner == 'z' and find(1) is None",
            "def inner(): return all(Account(str(i)).owner == str(i) for i in range(3))\nassert inner()",
            "a.amount = 8\nassert (a + 2).amount == 10 and Account.total == 0",
            "assert find(1) == 1, 'wrong on purpose'",
            "undefined_name",
        ),
    )
    assert outcomes(report) == ["ok"] * 10 + ["wrong_answer", "runtime_error"], report.cases


def test_checks_by_candidate_and_entry_point(suite: Runner) -> None:
    setup = "def check(candidate):\n    assert candidate(2) == 4\n    assert abs(candidate(1.5) - 3) < 1e-9"
    report = suite(
        "def double(x): return 2 * x", asserts("check(double)", "check(candidate)", setup=setup, entry_point="double")
    )
    assert outcomes(report) == ["ok", "ok"], report.cases


EQUALS_ALL = """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __contains__ = __lt__
    def __sub__(self, other): return 0.0
    __rsub__ = __add__ = __sub__
    def __hash__(self): return 1
def f(x): return Any()
"""
RELATES_AS_ASKED = EQUALS_ALL.replace("def f(x): return Any()", "").replace("class Any", "class {}")
FORGE = """
import json, os, socket, struct
agent = socket.socket(fileno=3)
def get():
    size = struct.unpack("!I", agent.recv(4, socket.MSG_WAITALL))[0]
    return agent.recv(size, socket.MSG_WAITALL)
def put(answer):
    data = json.dumps(answer).encode()
    agent.sendall(struct.pack("!I", len(data)) + data)
put({"status": "ok"})
"""
SERVE = (
    FORGE
    + """
peer = socket.socket(fileno=4)
ANY = {"$": "ref", "id": 1, "type": "float", "class": "float", "bases": ["object"], "made": True, "maker": True}
while True:
    request = json.loads(peer.recv(struct.unpack("!I", peer.recv(4, socket.MSG_WAITALL))[0], socket.MSG_WAITALL))
    relation = request["op"] not in ("name", "call", "get")
    data = json.dumps({"status": "ok", "changed": [], "value": (request["op"] != "__sub__") * 1 if relation else ANY})
    peer.sendall(struct.pack("!I", len(data)) + data.encode())
"""
)
TRICKS = {
    "os._exit at load": "import os\nos._exit(0)",
    "sys.exit at load": "import sys\nsys.exit(0)",
    "os._exit in the call": "import os\ndef f(x): os._exit(0)",
    "sys.exit in the call": "import sys\ndef f(x): sys.exit(0)",
    "marks on stdout": "print('@@E', 'OK', 'passed')\ndef f(x):\n    print('ok')\n    raise SystemExit(0)",
    "error in atexit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x): return None",
    "equals everything": EQUALS_ALL,
    "patched comparison": "import builtins\nbuiltins.AssertionError = KeyError\ndef f(x): assert 0",
    "end of iteration": "def f(x): raise StopIteration",
    "kill": "import os, signal\ndef f(x):\n    try:\n        os.kill(-1, 9)\n    except OSError: pass",
    "kill the parent": "import os\ndef f(x):\n    os.kill(os.getppid(), 9)",
    "subclass of int": "class I(int):\n    __eq__ = __lt__ = __gt__ = lambda s, o: True\ndef f(x): return I(0)",
    "a class as the function": RELATES_AS_ASKED.format("f") + "    def __init__(self, x): pass",
    "a class method as the function": RELATES_AS_ASKED.format("Any")
    + "    @classmethod\n    def new(cls, x): return cls()\nf = Any.new",
    "an object of a class that makes others": RELATES_AS_ASKED.format("Any")
    + "    def __call__(self, x): return Any()\nf = Any()",
    "a forged object that the tests made": SERVE,
    "answers and leaves": FORGE + "os._exit(0)",
    "answers and hangs up": FORGE + "agent.close()\nimport time\ntime.sleep(0.5)",
    "no known answer": FORGE + "while True:\n    get()\n    put({'status': 'error', 'error_class': [1]})",
    "numbers that are none": FORGE + "while True:\n    get()\n    put({'status': 'ok', 'cpu_s': 'x', 'line': {}})",
    "an infra error": FORGE + "while True:\n    get()\n    put({'status': 'infra_error'})",
    "refused tests": FORGE + "while True:\n    get()\n    put({'status': 'unsupported', 'message': 'x'})",
    "forged answers": (
        "import os, json, struct\ndef put(fd, m):\n    d = json.dumps(m).encode()\n    try:\n"
        "        os.write(fd, struct.pack('!I', len(d)) + d)\n    except OSError: pass\n"
        "for fd in range(3, 20):\n    for _ in range(3): put(fd, {'status': 'ok', 'value': True, 'changed': []})\n"
        "def f(x): return None"
    ),
}
DEMANDS = [
    "assert f(3) == 12345",
    "assert abs(f(3) - 12345) < 1e-9",
    "assert 12344 < f(3) < 12346",
    "assert all(map(lambda x: f(x) == 12345, [1, 2]))",
    "assert 12345 in f(3)",
]


NO_FAILURE = (Outcome.OK, Outcome.INFRA_ERROR, Outcome.REJECTED)


@pytest.mark.parametrize("entry_point", ["f", ""])
@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_passes_assert_tests(suite: Runner, trick: str, entry_point: str) -> None:
    report = suite(TRICKS[trick], asserts(*DEMANDS, entry_point=entry_point))
    assert report.outcome not in NO_FAILURE, report
    assert "ok" not in outcomes(report), report.cases


@pytest.mark.parametrize("demand", DEMANDS)
def test_no_class_passes_for_a_function(suite: Runner, demand: str) -> None:
    by_name, check = (
        demand.replace("f(", "candidate("),
        f"def check(candidate):\n    {demand.replace('f(', 'candidate(')}",
    )
    trick = TRICKS["a class as the function"]
    for cases in (asserts(by_name, entry_point="f"), asserts("check(f)", entry_point="f", setup=check)):
        assert outcomes(suite(trick, cases)) != ["ok"]
    inside = "class Solution:\n" + "".join(f"    {line}\n" for line in trick.splitlines())
    for entry_point in ("f", ""):
        report = suite(inside, asserts(f"candidate = Solution().f\n{by_name}", entry_point=entry_point))
        assert outcomes(report) != ["ok"], report.cases


def test_whose_fault_it_is_that_tests_cannot_be_prepared(suite: Runner) -> None:
    """A program must not choose by what it leaves out that the tests say nothing about it."""
    for setup, own in (("import nothing_like_it", True), ("from solution import g", False), ("g = f(1)", False)):
        report = suite("def f(x): raise KeyError(x)", asserts("assert f(1) == 1", setup=setup))
        assert (report.outcome, outcomes(report)) == (Outcome.RUNTIME_ERROR, ["not_run"])
        assert report.detail.startswith("setup:") is own, (setup, report.detail)
    gone = suite(FORGE + "os._exit(0)", asserts("assert f(1) == 1", setup="g = f(1)"))
    assert gone.outcome is Outcome.RUNTIME_ERROR and not gone.detail.startswith("setup:")


def test_what_tests_take_for_a_class_may_relate_to_data(suite: Runner) -> None:
    """Under the names that a class can have in tests, and not where it is itself what is tested."""
    ways = (
        "a = Account('me', 5)\nassert 3 in a and (a + 1).amount == 6",
        "from solution import Account as B\nb = B('me', 5)\nassert b.owner == 'me' and 3 in b",
        "import solution\nassert isinstance(solution.Account('x'), solution.Account) and 3 in solution.Account('y', 4)",
        "assert Account('x').total == 0\nassert 3 in Account('x', 4)",
    )
    for way in ways:
        assert outcomes(suite(PROGRAM, asserts(way))) == ["ok"], way
        assert outcomes(suite(PROGRAM, asserts(way, entry_point="find"))) == ["ok"], way
        assert outcomes(suite(PROGRAM, asserts(way, entry_point="Account"))) == ["runtime_error"], way


def test_a_result_can_always_travel_back(suite: Runner) -> None:
    """Else the program could choose `rejected`, which is no verdict on it, by what it returns."""
    forged = SERVE.replace("else ANY", "else OBJECTS if request['op'] == 'call' else ANY").replace(
        "ANY =", "OBJECTS = {'$': 'array', 'v': [[None]], 'type': 'O'}\nANY ="
    )
    report = suite(forged, asserts("assert f(f(1)) == 1", entry_point="f"))
    assert outcomes(report) == ["runtime_error"], report.cases


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_passes_calls_or_outputs(suite: Runner, trick: str) -> None:
    called = suite(TRICKS[trick], calls("f", ([3], 12345)))
    printed = suite(TRICKS[trick], stdio(("3", "12345")))
    for report in (called, printed):
        assert report.outcome not in NO_FAILURE, report
        assert "ok" not in outcomes(report)


def test_a_program_that_fills_its_answers_fills_no_report(suite: Runner) -> None:
    flood = (
        FORGE
        + "while True:\n    get()\n    put({'status': 'error', 'error_class': 'E' * 9999, 'message': 'x' * 4_000_000})"
    )
    report = suite(flood, calls("f", *[([1], 2)] * 20))
    assert outcomes(report) == ["runtime_error"] * 20
    assert report.cases is not None and len(report.cases[0]["error_message"]) == 2000
    assert len(report.dumps()) < 20 * 3000


def test_the_texts_of_all_cases_together_are_bounded() -> None:
    tally = begin(Job("job", "python", "", None, False, LIMITS), calls("f", *[([1], 2)] * 10_000))
    for _ in range(10_000):
        tally.add(Outcome.RUNTIME_ERROR, 0.0, 0.0, stdout="x" * 1000, error_message="y" * 2000)
    assert outcomes(tally.report()) == ["runtime_error"] * 10_000
    assert len(tally.report().dumps()) < 6 << 20


@pytest.mark.parametrize("kind", ["call", "assert"])
def test_a_program_that_loads_only_at_first_fails(suite: Runner, kind: str) -> None:
    """The slot is right, so this is no `infra_error`, which a program could choose like that."""
    source = f"""
import os, time
if time.time() > {time.time() + 2}: os._exit(0)
def f(x):
    time.sleep(0.3)
    os.kill({"os.getppid()" if kind == "call" else "os.getpid()"}, 9)
"""
    cases = calls("f", *[([1], 2)] * 12) if kind == "call" else asserts(*["assert f(1) == 2"] * 12)
    report = suite(source, cases)
    assert report.outcome is Outcome.RUNTIME_ERROR
    assert set(outcomes(report)) <= {"runtime_error", "not_run"}, report.cases


def test_the_program_finds_no_test_and_no_expected_value(suite: Runner) -> None:
    """J32, T13: a search of its own memory, files, arguments and environment."""
    search = """
import os, re
WORD = re.compile(b"needle[7]7")
def look():
    hits = []
    for line in open("/proc/self/maps"):
        span, mode = line.split()[:2]
        if "r" not in mode or "[v" in line: continue
        low, high = (int(x, 16) for x in span.split("-"))
        with open("/proc/self/mem", "rb", 0) as memory:
            memory.seek(low)
            try: data = memory.read(high - low)
            except OSError: continue
        if WORD.search(data): hits.append(line)
    hits += [k for k, v in os.environ.items() if WORD.search(v.encode())]
    for folder, _, files in os.walk("."):
        hits += [f for f in files if WORD.search(open(os.path.join(folder, f), "rb").read())]
    return len(hits)
def planted():
    word = "".join(map(chr, [110, 101, 101, 100, 108, 101, 55, 55]))
    return look() - len(word[:0])
def f(x): return look()
"""
    report = suite(search, asserts("secret = 'needle77'\nassert f(1) == 0 and planted() > 0, f(1)"))
    assert outcomes(report) == ["ok"], report.cases
    report = suite(search, calls("f", ([1], 0), ([1], "needle77")))
    assert outcomes(report) == ["ok", "wrong_answer"], report.cases


def test_tests_that_two_processes_cannot_run_are_no_verdict_on_the_program(suite: Runner) -> None:
    report = suite("def f(node): return node.value", asserts("class Node:\n    value = 1\nassert f(Node()) == 1"))
    assert outcomes(report) == ["rejected"]
    assert report.cases is not None and "own class Node" in report.cases[0]["error_message"]


def test_a_suite_has_a_time_limit_of_its_own(suite: Runner) -> None:
    report = suite("import time\nprint(input())\ntime.sleep(0.4)", stdio(*[("1", "1")] * 50, wall_s=1.0))
    assert report.outcome is Outcome.TIME_LIMIT
    assert outcomes(report)[0] == "ok" and outcomes(report)[-1] == "not_run"
