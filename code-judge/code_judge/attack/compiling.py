"""Attacks through the compile step."""

from __future__ import annotations

from dataclasses import replace

from code_judge.attack import checks as held
from code_judge.attack.model import LIMITS, Attack
from code_judge.jobs import Outcome

_INCLUDE = """
#include "@SECRET_FILE@"
#include "/etc/passwd"
#include "/proc/self/environ"
int main() {}
"""
# The assembler reads files too.
_EMBED = r"""
#include <unistd.h>
asm(".global held\n.global held_end\nheld:\n.incbin \"@SECRET_FILE@\"\nheld_end:\n");
extern char held[], held_end[];
int main() { return write(1, held, held_end - held) < 0; }
"""
_BOMB = """
constexpr unsigned long count(unsigned long n) {
    unsigned long sum = 0;
    for (unsigned long i = 0; i < n; i++) for (unsigned long j = 0; j < 200000; j++) sum += i * j;
    return sum;
}
constexpr unsigned long a = count(200000);
int main() { return a; }
"""
_COMPILE_ERROR = held.outcome(Outcome.COMPILE_ERROR)
_SLOW = replace(LIMITS, wall_s=45)

ATTACKS = [
    Attack("A31", "include files of the host in C++", (_INCLUDE,), (_COMPILE_ERROR, held.no_host_file), language="cpp"),
    Attack("C9", "endless work for the compiler", (_BOMB,), (_COMPILE_ERROR, held.answered_within(45)), _SLOW, "cpp"),
    Attack("D5", "embed a file of the host in C++", (_EMBED,), (_COMPILE_ERROR,), language="cpp"),
]  # fmt: skip
