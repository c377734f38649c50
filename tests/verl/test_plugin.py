"""The plug-in reaches veRL in every process, and says so when it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from verl.plugin.platform.platform_manager import PlatformRegistry
from verl.workers.rollout import base as rollout_base
from verl.workers.rollout.replica import RolloutReplicaRegistry, get_rollout_replica_class

from cleartrace_verl import plugin
from cleartrace_verl.platform_cpu import PlatformCpu
from cleartrace_verl.preflight import problems
from tests.verl.rollouts import config_with


def test_everything_is_registered():
    assert plugin.check_registered() == []


def test_registering_twice_is_harmless():
    plugin.register()
    assert plugin.check_registered() == []


def test_verl_finds_the_parts_by_name():
    from cleartrace_verl.rollout.adapter import EmbeddedRollout
    from cleartrace_verl.rollout.replica import EmbeddedReplica

    assert PlatformRegistry.get("cpu") is PlatformCpu
    assert get_rollout_replica_class("embedded") is EmbeddedReplica
    assert rollout_base.get_rollout_class("embedded", "async") is EmbeddedRollout


def test_the_private_tables_we_write_to_still_exist():
    assert isinstance(rollout_base._ROLLOUT_REGISTRY, dict)
    assert ("vllm", "async") in rollout_base._ROLLOUT_REGISTRY
    assert all(isinstance(value, str) for value in rollout_base._ROLLOUT_REGISTRY.values())
    assert isinstance(RolloutReplicaRegistry._registry, dict)
    assert "vllm" in RolloutReplicaRegistry._registry


@pytest.mark.parametrize(
    ("table", "key", "name"),
    [
        (rollout_base._ROLLOUT_REGISTRY, ("embedded", "async"), "rollout adapter 'embedded'"),
        (RolloutReplicaRegistry._registry, "embedded", "rollout replica 'embedded'"),
    ],
)
def test_a_missing_registration_is_reported_by_name(monkeypatch, table, key, name):
    monkeypatch.delitem(table, key)
    assert plugin.check_registered() == [name]
    assert any(name in problem and "setup.sh" in problem for problem in problems(config_with()))


def test_a_missing_platform_is_reported(monkeypatch):
    monkeypatch.setattr(plugin.platform_cpu, "PlatformCpu", object)
    assert plugin.check_registered() == ["platform 'cpu'"]


def test_importing_verl_alone_registers_through_the_entry_point():
    code = (
        "import sys, verl\n"
        "assert 'cleartrace_verl.plugin' in sys.modules, 'not loaded by import verl'\n"
        "from verl.workers.rollout.base import _ROLLOUT_REGISTRY as table\n"
        "print(table[('embedded', 'async')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == plugin.ROLLOUT_ADAPTER


def test_the_platform_keeps_tensors_on_the_cpu():
    platform = PlatformCpu()
    assert (platform.device_name, platform.communication_backend_name()) == ("cpu", "gloo")
    assert platform.current_device() == "cpu"
    assert not platform.is_ipc_supported()
    module = platform.device_module
    free, total = module.mem_get_info()
    assert 0 < free <= total
    assert module.memory_allocated() > 0
