"""The probes against real files, ports and processes."""

import hashlib
import json
import socket

import pytest

from cleartrace.doctor.examine import find_root
from cleartrace.doctor.facts import VerlFacts
from cleartrace.doctor.probe_machine import (
    POLICY,
    POLICY_FILES,
    available_memory,
    free_space,
    look_at_policy,
    try_port,
    try_run_folder,
)
from cleartrace.doctor.probe_services import read_answer

ANSWER = {"unregistered": [], "device": "cpu", "gpus": 0, "engines": [], "policy": {"worked": True, "detail": "x"}}


def test_an_occupied_port_cannot_be_used():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not try_port(port).worked
    assert try_port(port).worked
    assert try_port(None).worked


def test_a_container_limit_counts_as_memory(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000000 kB\nMemAvailable:   8000000 kB\n")
    assert available_memory(meminfo, tmp_path) == 8000000 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(meminfo, tmp_path) == 8000000 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    assert available_memory(meminfo, tmp_path) == 4000
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 600\nactive_file 100\n")
    assert available_memory(meminfo, tmp_path) == 4600


def test_no_such_folder_has_no_space(tmp_path):
    assert free_space(tmp_path / "none") is None
    assert (free_space(tmp_path) or 0) > 0


def test_a_folder_that_cannot_be_written(tmp_path):
    assert try_run_folder(tmp_path).worked
    (tmp_path / "runs").write_text("a file where the folder should be")
    trial = try_run_folder(tmp_path)
    assert not trial.worked
    assert "runs" in trial.detail


@pytest.fixture
def shipped(tmp_path):
    folder = tmp_path / POLICY
    folder.mkdir(parents=True)
    for name in POLICY_FILES:
        (folder / name).write_text(name)
    return tmp_path


def write_card(root, digest):
    (root / POLICY.parent / "CARD.md").write_text(f"| SHA-256 of `model.safetensors` | `{digest}` |\n")


def test_policy_files(shipped):
    assert look_at_policy(shipped).differing is None
    write_card(shipped, hashlib.sha256(b"model.safetensors").hexdigest())
    assert look_at_policy(shipped).differing == ()
    write_card(shipped, "0" * 64)
    assert look_at_policy(shipped).differing == ("model.safetensors",)
    (shipped / POLICY / "config.json").unlink()
    assert look_at_policy(shipped).missing == ("config.json",)


def test_the_root_is_found_from_elsewhere(shipped, tmp_path_factory):
    assert find_root(shipped) == shipped
    assert (find_root(tmp_path_factory.mktemp("elsewhere")) / POLICY).is_dir()


def test_the_answer_is_the_last_line():
    facts = read_answer(0, f"some library says hello\n{json.dumps(ANSWER)}\n", "")
    assert facts == VerlFacts.from_json(ANSWER)
    assert facts.policy is not None and facts.policy.worked


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "word"),
    [
        (1, "", "Traceback\nModuleNotFoundError: No module named 'verl'\n", "No module named 'verl'"),
        (0, "", "", "nothing"),
        (0, "no json", "", "cannot be read"),
        (0, "{}", "", "cannot be read"),
    ],
)
def test_an_unusable_answer_is_an_error(status, stdout, stderr, word):
    assert word in read_answer(status, stdout, stderr).error
