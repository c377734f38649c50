"""Programs are judged as a plain interpreter would run them, and contained."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest


def alive_with(word: str) -> list[int]:
    """Processes whose command line holds `word`."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if word in " ".join(process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("print(1)", "ok"),
        ("raise SystemExit(3)", "runtime_error"),
        ("import os; os.abort()", "runtime_error"),
        ("def f(:", "runtime_error"),
        ("x = bytearray(3 << 30)", "memory_limit"),
        ("while True: print('y' * 10000)", "output_limit"),
        ("while True: pass", "time_limit"),
    ],
)
def test_outcomes(run, source: str, outcome: str) -> None:  # J3
    answer = run(source, limits={"cpu_s": 0.5})
    assert answer["outcome"] == outcome
    assert answer["run_success"] == (outcome == "ok")


def test_exit_code_and_signal(run) -> None:
    assert run("raise SystemExit(3)")["exit_code"] == 3
    assert run("import os; os.abort()")["signal"] == 6


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from __future__ import annotations\ndef f(x: nope): ...\nprint('ok')", "ok"),  # J45
        ("print('a@@Eb@@D')", "a@@Eb@@D"),  # J46
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "\ufffd\ufffd"),  # J47
        ("import sys; print('ok'); sys.stdout.close()", "ok"),  # J49
        ("p = print\nprint = None\np('ok')", "ok"),  # J50
        ("import atexit; atexit.register(print, 'late'); print('ok')", "ok\nlate"),  # J51
        ("import threading, time\nthreading.Thread(target=lambda: (time.sleep(.1), print('t'))).start()", "t"),  # Z3
        ("import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__name__)", "A"),  # Z4
        ("import sys, os; print(sys.argv, sys.path[0] == os.getcwd())", "['main.py'] True"),  # Z7
        ("import __main__; print('Settings' in dir(__main__), __name__)", "False __main__"),
        ("open('/dev/stdout', 'w').write('ok')", "ok"),
    ],
)
def test_correct_programs_are_judged_right(run, source: str, expected: str) -> None:
    answer = run(source, expected_output=expected)
    assert answer["success"], answer


def test_error_is_read_from_the_traceback(run) -> None:  # J52
    answer = run("x = 1\ndef f():\n    return y\n\nf()\n")
    assert (answer["error_class"], answer["error_line"]) == ("NameError", 3)
    assert answer["error_message"] == "name 'y' is not defined"
    assert answer["stderr"].splitlines()[1] == '  File "main.py", line 5, in <module>'
    syntax = run("a = 1\nb = = 2\n")
    assert (syntax["error_class"], syntax["error_line"]) == ("SyntaxError", 2)
    assert run("import sys; sys.exit('bad')")["error_class"] is None


def test_forged_traceback_changes_no_verdict(run) -> None:  # J7, J14
    forged = 'import sys\nsys.stderr.write("Traceback (most recent call last):\\nMemoryError\\n")\nprint(1)'
    assert run(forged)["outcome"] == "ok"


@pytest.mark.parametrize(
    ("source", "stdout"),
    [
        ("a = 1; a", "1\n"),
        ("None", ""),
        ("x = [1]\nx.append(2)\nx", "[1, 2]\n"),
        ("print('once') or 5", "once\n5\n"),
        ("from __future__ import annotations\n'v'", "'v'\n"),
        ("def f(): pass", ""),
        ("", ""),
    ],
)
def test_echo_prints_the_last_expression(run, source: str, stdout: str) -> None:  # D40, J44
    answer = run(source, options={"echo": "last_expression"})
    assert (answer["outcome"], answer["stdout"]) == ("ok", stdout)


def test_echo_runs_a_raising_expression_once_with_true_lines(run) -> None:  # D40, J44
    answer = run("def f():\n    print('called')\n    return 1 / 0\nf()", options={"echo": "last_expression"})
    assert answer["stdout"] == "called\n"
    assert (answer["error_class"], answer["error_line"]) == ("ZeroDivisionError", 3)
    assert "<string>" not in answer["stderr"]
    assert answer["stderr"].splitlines()[1].startswith('  File "main.py", line 4')
    for source in ("def f(:", "return 5"):
        plain, cell = run(source), run(source, options={"echo": "last_expression"})
        assert plain["stderr"] == cell["stderr"]


def test_input_without_stdin_is_eof_at_once(run) -> None:  # D39
    begun = time.monotonic()
    answer = run("input()")
    assert answer["error_class"] == "EOFError"
    assert answer["wall_s"] < 0.5 or time.monotonic() - begun < 0.5


def test_disarmed_alarm_and_ignored_signals_are_killed(run) -> None:  # A6, A7, D41, J26
    source = "import signal, time\nsignal.alarm(0)\nfor n in range(1, 65):\n"
    source += "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\ntime.sleep(60)"
    begun = time.monotonic()
    answer = run(source, limits={"cpu_s": 0.3, "wall_s": 1.0})
    assert (answer["outcome"], answer["signal"]) == ("time_limit", 9)
    assert time.monotonic() - begun < 10


def test_orphan_that_holds_stdout_does_not_delay_the_answer(run) -> None:  # A11, A12
    source = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(77.125)'])\n    os._exit(0)\n"
        "time.sleep(0.3)\nprint('main ends')"
    )
    answer = run(source)
    assert (answer["outcome"], answer["stdout"]) == ("ok", "main ends\n")
    assert answer["wall_s"] < 10
    assert alive_with("sleep(77.125)") == []


def test_closed_output_is_judged_on_exit(run) -> None:  # A5
    assert run("import os, time\nos.close(1)\nos.close(2)\ntime.sleep(.2)")["outcome"] == "ok"


def test_flood_is_bounded(run) -> None:  # J35, A26
    answer = run("while True: print('y' * 100000)", limits={"cpu_s": 5})
    assert answer["outcome"] == "output_limit"
    assert answer["stdout_bytes"] < (1 << 20) + (1 << 18)  # what was on its way when the limit was met


def test_environment_is_clean(run) -> None:  # J31, A17
    names = set(run("import os\nprint('\\n'.join(os.environ))")["stdout"].split())
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE"}
    allowed |= {"PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE"}
    allowed |= {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    assert names <= allowed
    assert run("import os\nprint(os.listdir())")["stdout"] == "['main.py']\n"


def test_no_descriptor_is_inherited(run) -> None:
    source = "import os\nprint([fd for fd in range(3, 256) if os.path.exists(f'/proc/self/fd/{fd}')])"
    assert run(source)["stdout"] == "[]\n"


def test_expected_output_is_nowhere_in_the_run(run) -> None:  # J32, A20
    canary = "cAnArY" + "5c1d"
    # As a pattern the word does not match itself, so a hit cannot be the search's own copy.
    search = (
        "import os, re\nword = re.compile(b'cAnArY[5]c1d')\nhits = 0\n"
        "for path in ['/proc/self/environ', '/proc/self/cmdline', *os.listdir('.')]:\n"
        "    hits += len(word.findall(open(path, 'rb').read()))\n"
        "regions = [l.split()[0].split('-') for l in open('/proc/self/maps') if ' rw' in l]\n"
        "with open('/proc/self/mem', 'rb', buffering=0) as memory:\n"
        "    for start, end in regions:\n"
        "        memory.seek(int(start, 16))\n"
        "        hits += len(word.findall(memory.read(int(end, 16) - int(start, 16))))\n"
        "print(hits)"
    )
    assert run(search, expected_output=canary)["stdout"] == "0\n"


def test_runs_cannot_touch_the_worker_or_each_other(run) -> None:  # A8, A13, A18, J33
    status = run("import os\nprint(os.getuid(), os.getppid())")["stdout"].split()
    if status[0] == "0":
        pytest.fail("runs as root although a separate uid was available")
    source = (
        "import os, resource\n"
        "try:\n    os.kill(os.getppid(), 9); print('killed')\nexcept PermissionError: print('refused')\n"
        "try:\n    open(f'/proc/{os.getppid()}/environ').read(); print('read')\n"
        "except PermissionError: print('refused')\n"
        "try:\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); print('raised')\n"
        "except ValueError: print('refused')\n"
    )
    answer = run(source)
    if "uid" not in answer["isolation"]:
        pytest.skip("no separate uid here")
    assert answer["stdout"].split() == ["refused"] * 3


def test_network_is_empty_where_reported(run, judge) -> None:  # A22, D44
    port = judge.url.rsplit(":", 1)[1]
    answer = run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)")
    if "net" not in answer["isolation"]:
        pytest.skip("no network namespace here")
    assert answer["outcome"] == "runtime_error"


def test_work_directories_are_removed(run, judge) -> None:  # J29
    where = run("import os\nos.makedirs('a/b')\nos.chmod('a', 0)\nopen('f', 'w')\nprint(os.getcwd())")["stdout"].strip()
    assert where.startswith("/") and not Path(where).exists()
    assert list(Path(where).parent.glob("run-*")) == []


def test_numpy_fits_the_default_memory(run) -> None:  # D42, J15
    assert run("import numpy\nprint(numpy.arange(3).sum())", expected_output="3")["success"]


def test_cpp(run) -> None:
    source = '#include <cstdio>\nint main() { int a; if (scanf("%d", &a) != 1) return 1; printf("%d", a + 1); }'
    assert run(source, type="cpp", input="41", expected_output="42")["success"]
    broken = run("int main( {", type="cpp")
    assert (broken["outcome"], broken["reason"], broken["run_success"]) == ("compile_error", "", False)
    assert "main.cpp" in broken["stderr"]
