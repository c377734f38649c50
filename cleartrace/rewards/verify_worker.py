"""The process in which math-verify runs. One JSON request per input line, one JSON reply per output line.

A process of its own because symbolic algebra on a model's text may not end (`9^{9^{9^9}}`), cannot be
interrupted inside big-integer code, and because math-verify's own time limit works in a main thread only.
A request that uses up its CPU time kills the process; the parent starts another.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys

MEMORY_BYTES = 2 << 30


def equal(gold: str, answer: str) -> bool:
    """Mathematical equality of two LaTeX answers."""
    from math_verify import parse, verify

    parsed = [parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer)]  # pyright: ignore[reportArgumentType]
    return bool(verify(parsed[0], parsed[1], timeout_seconds=None))


def reply(request: dict) -> dict:
    signal.setitimer(signal.ITIMER_PROF, request["cpu_s"])
    try:
        return {"equal": equal(request["gold"], request["answer"])}
    except Exception as error:  # whatever a parser does with a model's text, it is that text's doing
        return {"equal": False, "error": type(error).__name__}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    logging.disable(logging.WARNING)
    equal("1", "2")  # loads sympy and the grammar, so that the first request does not pay for it
    # The address space of the interpreter with sympy is the base; the cap is for what a request adds.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(reply(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
