from dataclasses import replace

import pytest

from cleartrace.doctor import Facts, all_checks
from cleartrace.doctor.check import Check, Status
from cleartrace.doctor.checks import GB
from cleartrace.doctor.facts import PolicyFiles, Trial, VerlFacts
from cleartrace.doctor.versions import TESTED

GOOD_VERL = VerlFacts(device="cpu", policy=Trial(True, "loads"))
GOOD = Facts(
    python=(3, 11, 7),
    packages={name: oldest for name, (oldest, _) in TESTED.items()},
    memory=8 * GB,
    disk=20 * GB,
    shm=2 * GB,
    ray_disk=20 * GB,
    cpus=2,
    port_trial=Trial(True, "free ports can be had"),
    run_folder=Trial(True, "writable"),
    policy=PolicyFiles("policy", differing=()),
    valkey=Trial(True, "starts"),
    judge=Trial(True, "ran, isolation L0-rlimits+uid+net"),
    verl=GOOD_VERL,
)


@pytest.fixture
def good() -> Facts:
    """Facts of a machine on which everything is well."""
    return GOOD


@pytest.fixture
def not_ok():
    """The checks that differ from `ok` when `changes` are made to the good facts."""

    def find(**changes) -> list[Check]:
        return [c for c in all_checks(replace(GOOD, **changes)) if c.status is not Status.OK]

    return find
