"""The programs of a soak: each says beforehand what must come back. All chunks hold the same ones."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from code_judge.attack.catalogue import ATTACKS
from code_judge.attack.model import Attack
from code_judge.attack.prelude import PRELUDE
from code_judge.client import RunLimits, RunResult
from code_judge.jobs import Outcome
from code_judge.sandbox.levels import Level

_HOSTILE = RunLimits(cpu_s=0.5, wall_s=1.0, memory_mb=128, processes=16)
_CXX = '#include <cstdio>\nint main() { long n; std::scanf("%ld", &n); std::printf("%ld\\n", 2 * n); }\n'


@dataclass(frozen=True)
class Program:
    """`fields` are arguments of a client's `run`. An attack may end in any verdict, but for `claims` of success."""

    fields: dict[str, Any]
    outcome: Outcome | None
    stdout: str = ""
    attack: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields that the result must have."""

    def fault(self, result: RunResult) -> str:
        """'' when `result` is right."""
        if result.outcome is Outcome.INFRA_ERROR:
            return f"{self.attack or 'program'}: infra_error {result.detail}"
        if self.attack:
            claims = [line for line in result.stdout.splitlines() if line.startswith("CLAIM ")]
            return f"{self.attack}: {claims[0]}" if claims else ""
        said = {"outcome": result.outcome, "stdout": result.stdout, **{k: getattr(result, k) for k in self.more}}
        wanted = {"outcome": self.outcome, "stdout": self.stdout, **self.more}
        return "" if said == wanted else f"{self.fields['code'][:60]!r} gave {said}, not {wanted}"


def _plain(n: int) -> Program:
    kind = n % 20
    if kind == 0:
        return Program({"code": _CXX, "stdin": f"{n}\n", "language": "cpp"}, Outcome.OK, f"{2 * n}\n")
    if kind < 4:
        return Program({"code": "print(sum(map(int, input().split())))", "stdin": f"{n} 1\n"}, Outcome.OK, f"{n + 1}\n")
    if kind < 6:
        return Program({"code": f"import math\nprint(math.gcd({6 * n}, 6))"}, Outcome.OK, "6\n")
    if kind < 8:
        more = {"error_class": "ValueError", "error_line": 2}
        return Program({"code": f"print({n})\nint('x')"}, Outcome.RUNTIME_ERROR, f"{n}\n", more=more)
    if kind < 9:
        return Program({"code": f"print({n})", "expected_output": "no"}, Outcome.WRONG_ANSWER, f"{n}\n")
    if kind < 10:
        code = f"open('left', 'w').write('{n}' * 999)\nprint(len(open('left').read()))"
        return Program({"code": code}, Outcome.OK, f"{999 * len(str(n))}\n")
    return Program({"code": f"print({n})"}, Outcome.OK, f"{n}\n")


def attacks_of(level: Level) -> list[Attack]:
    """Those in one step, which need no preparation, that this level promises to hold."""
    return [one for one in ATTACKS if len(one.steps) == 1 and one.language == "python" and one.since <= level]


def _hostile(attack: Attack, targets: dict[str, Any]) -> Program:
    code = (PRELUDE + attack.steps[0]).replace("@SECRET_FILE@", targets["secret_file"])
    fields = {"code": code, "stdin": json.dumps(targets), "limits": _HOSTILE}
    return Program(fields, None, attack=attack.id)


def chunk(size: int, share: float, attacks: Sequence[Attack], targets: dict[str, Any], seed: int) -> list[Program]:
    """`size` programs, `share` of them attacks: always the same ones, in an order of the seed's."""
    hostile = round(size * share)
    programs: list[Program] = [_hostile(attacks[n % len(attacks)], targets) for n in range(hostile)]
    programs += [_plain(n) for n in range(size - hostile)]
    random.Random(seed).shuffle(programs)
    return programs


def faults(programs: Sequence[Program], results: Sequence[RunResult]) -> Iterator[str]:
    """What came back wrong."""
    for program, result in zip(programs, results, strict=True):
        if fault := program.fault(result):
            yield fault
