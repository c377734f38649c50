"""Each check with good and with bad facts."""

import pytest

from cleartrace.doctor import Status, all_checks, usable
from cleartrace.doctor.checks import GB
from cleartrace.doctor.facts import PolicyFiles, Trial, VerlFacts
from cleartrace.doctor.versions import TESTED

VERSIONS = {name: oldest for name, (oldest, _) in TESTED.items()}
LOADS = Trial(True, "loads")
BROKEN = Trial(False, "it broke")


def test_good_facts_give_ok_everywhere(good):
    checks = all_checks(good)
    assert {c.status for c in checks} == {Status.OK}
    assert usable(checks)
    assert not any(c.mend for c in checks)


BAD = [
    ("Python", Status.FAIL, {"python": (3, 9, 2)}),
    ("Python", Status.FAIL, {"python": (3, 13, 0)}),
    ("package ray", Status.FAIL, {"packages": {**VERSIONS, "ray": None}}),
    ("package ray", Status.WARN, {"packages": {**VERSIONS, "ray": "2.41.0"}}),
    ("package ray", Status.WARN, {"packages": {**VERSIONS, "ray": "3.0"}}),
    ("package ray", Status.WARN, {"packages": {**VERSIONS, "ray": "unknown"}}),
    ("memory", Status.WARN, {"memory": 5 * GB}),
    ("memory", Status.FAIL, {"memory": 2 * GB}),
    ("disk", Status.WARN, {"disk": 2 * GB}),
    ("disk", Status.FAIL, {"disk": GB // 2}),
    ("disk for Ray", Status.WARN, {"ray_disk": 2 * GB}),
    ("disk for Ray", Status.FAIL, {"ray_disk": GB // 2}),
    ("/dev/shm for Ray", Status.WARN, {"shm": 64 * 2**20}),
    ("/dev/shm for Ray", Status.WARN, {"shm": None}),
    ("CPUs", Status.WARN, {"cpus": 1}),
    ("loopback port", Status.FAIL, {"port_trial": BROKEN}),
    ("port 8088", Status.FAIL, {"port": 8088, "port_trial": BROKEN}),
    ("runs/", Status.FAIL, {"run_folder": BROKEN}),
    ("shipped policy files", Status.FAIL, {"policy": PolicyFiles("policy", missing=("config.json",))}),
    ("shipped policy files", Status.FAIL, {"policy": PolicyFiles("policy", differing=("model.safetensors",))}),
    ("embedded Valkey", Status.FAIL, {"valkey": BROKEN}),
    ("judge", Status.FAIL, {"judge": BROKEN}),
    ("judge", Status.WARN, {"judge": Trial(True, "ran, isolation L0-rlimits")}),
    ("veRL plug-in", Status.FAIL, {"verl": VerlFacts(unregistered=("platform 'cpu'",), policy=LOADS)}),
    ("veRL plug-in", Status.WARN, {"verl": VerlFacts(device="cuda", policy=LOADS)}),
    ("shipped policy loads", Status.FAIL, {"verl": VerlFacts(device="cpu", policy=BROKEN)}),
    ("GPU and rollout engines", Status.WARN, {"verl": VerlFacts(device="cpu", policy=LOADS, gpus=2)}),
]


@pytest.mark.parametrize(("name", "status", "changes"), BAD)
def test_bad_facts_give_one_line_that_says_what_to_do(name, status, changes, not_ok):
    (check,) = not_ok(**changes)
    assert (check.name, check.status) == (name, status)
    assert check.found
    assert check.mend
    assert usable([check]) == (status is Status.WARN)


def test_a_probe_without_an_answer_fails_what_depends_on_it(not_ok):
    checks = not_ok(verl=VerlFacts(error="No module named 'verl'"))
    assert [c.name for c in checks] == ["veRL plug-in", "shipped policy loads", "GPU and rollout engines"]
    assert "No module named 'verl'" in checks[0].found


def test_gpus_with_an_engine_are_ok(not_ok):
    assert not_ok(verl=VerlFacts(device="cpu", policy=LOADS, gpus=8, engines=("sglang",))) == []
