"""Garbage and attacks: no grader raises, none says right, none takes long; and no infrastructure fault says wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.rewards.code.truth import read_tests
from cleartrace.rewards.judge import BoundedJudge, pooled_judge
from cleartrace.rewards.score import Score, compute_score, compute_score_async
from cleartrace.rewards.verify import Verifier
from code_judge.embedded import EmbeddedJudge

BOXED = {"math_dapo": "123457", "mega-science": "chloroplast", "gpqa_diamond": "C"}
STDIO = {"inputs": ["3", "4"], "outputs": ["123457", "765432"]}
CALLS = {"fn_name": "f", "inputs": [[3], [4]], "outputs": [123457, 765432]}
ASSERTS = {
    "entry_point": "f",
    "test_code": "def check(f):\n    assert f(3) == 123457\n    assert 765430 < f(4) < 765434\n",
}
PROGRAM = "def f(x): return {3: 123457, 4: 765432}[x]\nif __name__ == '__main__': print(f(int(input())))"

EQUALS_ALL = (
    "class Any:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
    "    __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __eq__\n    __hash__ = lambda self: 1\n"
    "    def __repr__(self): return '123457'\n"
)
ATTACKS = {
    "sys.exit": "import sys\nsys.exit(0)",
    "os._exit": "import os\nos._exit(0)",
    "exit in the call": "def f(x): raise SystemExit(0)",
    "markers": "print('ok', 'OK', 'passed', '{\"outcome\": \"ok\"}')\ndef f(x): print('ok')",
    "equal to everything": f"{EQUALS_ALL}def f(x): return Any()",
    "equal integers": "class I(int):\n    __eq__ = __lt__ = __gt__ = lambda s, o: True\ndef f(x): return I(0)",
    "no assertions": "import builtins\nbuiltins.AssertionError = KeyError\ndef f(x): assert 0",
    "other builtins": "import builtins as b\nb.len = b.print = b.bool = lambda *a, **k: True\ndef f(x): pass",
    "patched json": "import json\njson.dumps = json.loads = lambda *a: {'status': 'ok', 'value': 123457}\nf = len",
    "end of iteration": "def f(x): raise StopIteration",
    "files": "import glob\ndef f(x): return [open(n).read() for n in glob.glob('**', recursive=True)]\nprint(f(1))",
    "own memory": "def f(x): return open('/proc/self/mem', 'rb').read(9)\nprint(f(1))",
    "parent": "import os\ndef f(x): os.kill(os.getppid(), 9)\nf(1)",
    "forks": "import os\ndef f(x):\n    while True: os.fork()\nf(1)",
    "sleep": "import time\ndef f(x): time.sleep(99)\nf(1)",
    "flood": "def f(x):\n    while True: print('x' * 10**6)\nf(1)",
    "memory": "def f(x): return bytearray(1 << 34)\nf(1)",
    "deep": "f = lambda x: f(x)\nf(1)",
    "frames": "import sys\ndef f(x): return sys._getframe(1).f_locals\nprint(f(1))",
    "surrogate": "def f(x): return '\ud800'\nprint('\\ud800')",
    "null": "def f(x): return 1\0",
    "parentheses": "(" * 100_000,
    "minus": "-" * 50_000 + "1",
}


def fenced(program: str) -> str:
    return f"```python\n{program}\n```"


async def grade_all(service: EmbeddedJudge, answers: list[tuple[str, Any]], **options: Any) -> list[Score]:
    judge = pooled_judge(service.url, service.token)
    limits = {"code_cpu_s": 0.4, "code_memory_mb": 128, **options}
    tasks = (compute_score_async("code", text, truth, judge=judge, **limits) for text, truth in answers)
    return list(await asyncio.gather(*tasks))


@pytest.mark.parametrize("truth", [STDIO, CALLS, ASSERTS], ids=["stdio", "calls", "asserts"])
def test_no_attack_passes_and_none_is_left_ungraded(service, truth):
    started = time.monotonic()
    graded = asyncio.run(
        grade_all(service, [(fenced(program), truth) for program in ATTACKS.values()], code_stop_early=True)
    )
    for name, score in zip(ATTACKS, graded, strict=True):
        assert not score["acc"] and score["score"] <= 0 and not score["ungraded"], (name, score)
    assert time.monotonic() - started < 90


# Pieces of programs; none of them knows an answer.
PIECES = st.sampled_from(
    ["def f(x):", "\n", "    ", "return x", "print(", ")", "x", "=", "1", "[", "]", "lambda:", "yield", "raise", "'",
     "while 1:", "import sys", "exit()", '"""', "\0", "\ud800", "class f:", "del f", "global f", "async ", "```", "@"]
)  # fmt: skip


@settings(max_examples=4, deadline=None)
@given(programs=st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=8, max_size=8))
def test_garbage_programs_are_wrong(service, programs):
    answers = [(fenced(program), truth) for program in programs for truth in (STDIO, CALLS, ASSERTS)]
    for score in asyncio.run(grade_all(service, answers, code_stop_early=True, code_cpu_s=0.2)):
        assert not score["acc"] and not score["ungraded"] and score["score"] <= 0


@settings(max_examples=200)
@given(st.text(alphabet='{}[]":,0 infoutpsceg_ml\ud800', max_size=60))
def test_a_garbage_key_is_an_error_of_the_dataset_and_nothing_else(truth):
    with contextlib.suppress(ValueError):
        read_tests(truth)


@pytest.mark.parametrize("truth", [STDIO, CALLS, ASSERTS], ids=["stdio", "calls", "asserts"])
def test_gold_scores_1_and_an_empty_answer_does_not(service, truth):
    gold, empty, blank = asyncio.run(grade_all(service, [(fenced(PROGRAM), truth), ("", truth), (fenced(" "), truth)]))
    assert (gold["acc"], gold["score"]) == (True, 1.0), gold
    assert (empty["acc"], empty["score"], blank["score"]) == (False, -1.0, -1.0)


@pytest.mark.parametrize(("source", "gold"), BOXED.items())
@pytest.mark.parametrize("mode", ["strict", "normalized", "verify"])
def test_a_gold_box_scores_1_and_an_empty_one_does_not(source, gold, mode):
    assert compute_score(source, rf"\boxed{{{gold}}}", gold, math_mode=mode)["score"] == 1.0
    for empty in ("", r"\boxed{}", r"\boxed{ }", r"\boxed{\text{}}", r"\boxed{" + gold):
        assert compute_score(source, empty, gold, math_mode=mode)["score"] == -1.0


# Nothing here is made of the digits, letters or words of a key.
TEXTS = st.text(alphabet="\\{}()[]^_$%&#~ .,:;+-*/=<>|'\"`\0\ud800\udfff\n\t6890kxyz√π∞²é🦒", max_size=80)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.sampled_from(sorted(BOXED)), st.sampled_from(["strict", "normalized", "verify"]))
def test_garbage_in_a_box_is_wrong(text, source, mode):
    for answer in (text, rf"\boxed{{{text}}}", rf"\boxed{{\frac{{{text}}}{{{text}}}}}"):
        score = compute_score(source, answer, BOXED[source], math_mode=mode)
        assert not score["acc"] and not score["ungraded"] and score["score"] == -1.0


LARGE = ["{" * 10**6, r"\boxed{" * 10**5, rf"\boxed{{{'x' * 10**6}}}", "</think>" * 10**5]
DEEP = [
    "{" * 400 + "}" * 400,
    r"\frac{1}{" * 80 + "1" + "}" * 80,
    "9^{9^{9^{9}}}",
    "x\ud800\0",
    "__import__('os')._exit(0)",
]


@pytest.mark.parametrize("answer", LARGE, ids=range(len(LARGE)))
@pytest.mark.parametrize("source", BOXED)
def test_megabytes_are_wrong_within_bounds(source, answer):
    started = time.process_time()
    score = compute_score(source, answer, BOXED[source])
    assert not score["acc"] and not score["ungraded"] and score["score"] == -1.0
    assert len(score["pred"]) <= 10_000
    assert time.process_time() - started < 2


@pytest.mark.parametrize("answer", DEEP, ids=range(len(DEEP)))
def test_deep_answers_are_wrong_within_bounds(answer, hasty):
    score = compute_score("math_dapo", rf"\boxed{{{answer}}}", "x+123457", verifier=hasty)
    assert not score["acc"] and not score["ungraded"] and score["score"] == -1.0


@pytest.fixture(scope="module")
def hasty():
    verifier = Verifier(cpu_s=0.3)
    yield verifier
    verifier.close()


def test_an_answer_that_ends_the_worker_is_wrong_and_not_ungraded(tmp_path, monkeypatch):
    """A worker that really dies over one answer: a model must not be able to choose to stay ungraded."""
    (tmp_path / "math_verify.py").write_text(
        "import os\n"
        "def parse(text, parsing_timeout=None):\n"
        "    if 'crash' in text: os.kill(os.getpid(), 11)\n"
        "    return text\n"
        "def verify(gold, answer, timeout_seconds=None): return gold == answer\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    verifier = Verifier()
    verdict = verifier.compare("x", "crash")
    assert (verdict.equal, verdict.error) == (False, "crash")
    assert verifier.compare("x", "x").equal
    verifier.close()


# --- blame ----------------------------------------------------------------------------------------------------------


def test_d43_on_a_saturated_judge_a_right_program_is_right(service):
    """Slow neighbours hold both workers for longer than the published queue's four seconds."""
    busy = fenced("import time\ntime.sleep(99)")
    slow = {"inputs": [""] * 2, "outputs": [""] * 2}
    right = (fenced(PROGRAM), STDIO)
    started = time.monotonic()
    graded = asyncio.run(grade_all(service, [(busy, slow)] * 4 + [right] * 16))
    assert time.monotonic() - started > 4, "the judge was not saturated"
    assert {score["tests"] for score in graded[:4]} == {" ".join(["time_limit"] * 2)}
    assert [score["score"] for score in graded[4:]] == [1.0] * 16


@pytest.mark.parametrize(
    ("url", "token"), [("http://127.0.0.1:9", None), ("", "wrong")], ids=["nobody answers", "wrong token"]
)
def test_a_judge_that_gives_no_answer_leaves_the_row_ungraded(service, url, token):
    async def ask() -> Score:
        judge = pooled_judge(url or f"{service.url}/", token)
        limits = {"code_suite_s": 0.1, "code_deadline_s": 0.3}
        return await compute_score_async("code", fenced(PROGRAM), STDIO, {"index": 5}, judge=judge, **limits)

    score = asyncio.run(ask())
    assert (score["ungraded"], score["acc"], score["score"]) == (True, False, 0.0)
    assert "question 5" in score["error"] and "JudgeUnavailable" in score["error"]


def test_tests_that_cannot_be_carried_out_are_no_verdict(judge):
    own_class = {"entry_point": "f", "test_code": "class Node:\n    value = 1\nassert f(Node()) == 1"}
    broken = {"entry_point": "f", "test_code": "import nothing_like_it\nassert f(1) == 1"}
    for truth, why in ((own_class, "own class Node"), (broken, "nothing_like_it")):
        score = compute_score("code", fenced("def f(x): return 1"), truth, judge=judge)
        assert (score["ungraded"], score["score"]) == (True, 0.0), score
        assert why in score["error"]


def test_no_more_programs_than_allowed_are_with_the_judge(service):
    at_judge: list[int] = []

    class Counting:
        now = 0

        async def run(self, code: str, stdin: str | None = None, **more: Any) -> Any:
            self.now += 1
            at_judge.append(self.now)
            try:
                return await pooled_judge(service.url, service.token).run(code, stdin, **more)
            finally:
                self.now -= 1

    async def ask() -> list[Score]:
        judge = BoundedJudge(Counting(), at_once=2)
        tasks = (compute_score_async("code", fenced(PROGRAM), STDIO, judge=judge) for _ in range(8))
        return list(await asyncio.gather(*tasks))

    assert all(score["acc"] for score in asyncio.run(ask()))
    assert len(at_judge) == 8 and max(at_judge) == 2


def test_one_client_serves_a_loop_and_a_new_loop_gets_its_own(service):
    async def twice() -> tuple[Any, Any]:
        return pooled_judge(service.url, service.token), pooled_judge(service.url, service.token)

    first, again = asyncio.run(twice())
    other, _ = asyncio.run(twice())
    assert first is again and other is not first
