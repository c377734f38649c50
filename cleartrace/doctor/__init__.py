"""`cleartrace doctor`: what would stop a run on this machine, and how to mend it."""

from __future__ import annotations

from cleartrace.doctor.check import Check, Status, usable
from cleartrace.doctor.checks import all_checks
from cleartrace.doctor.examine import find_root, gather, print_checks
from cleartrace.doctor.facts import Facts

__all__ = ["Check", "Facts", "Status", "all_checks", "find_root", "gather", "print_checks", "usable"]
