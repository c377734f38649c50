"""Entry point of group `verl.plugins`: loaded by `import verl` in every process.

veRL logs a failing plug-in at DEBUG only, so nothing here may be assumed to have happened:
`check_registered` says what is missing, and `main` and `cleartrace doctor` call it.
"""

from __future__ import annotations

from verl.plugin.platform.platform_manager import PlatformRegistry
from verl.workers.rollout import base as rollout_base
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry

from cleartrace_verl import platform_cpu  # noqa: F401  (registers the platform)

ROLLOUT_NAME = "embedded"
ROLLOUT_ADAPTER = "cleartrace_verl.rollout.adapter.EmbeddedRollout"


def _load_replica() -> type[RolloutReplica]:
    from cleartrace_verl.rollout.replica import EmbeddedReplica

    return EmbeddedReplica


def register() -> None:
    """Make the embedded rollout known to veRL. Safe to call twice."""
    RolloutReplicaRegistry.register(ROLLOUT_NAME, _load_replica)
    # veRL 0.9.1 has no public call for the adapter table; tests/verl/test_plugin.py guards this name.
    rollout_base._ROLLOUT_REGISTRY[(ROLLOUT_NAME, "async")] = ROLLOUT_ADAPTER


def check_registered() -> list[str]:
    """What the plug-in should have registered with veRL and has not. Empty when all is well."""
    missing = []
    if PlatformRegistry.get("cpu") is not platform_cpu.PlatformCpu:
        missing.append("platform 'cpu'")
    if RolloutReplicaRegistry._registry.get(ROLLOUT_NAME) is not _load_replica:
        missing.append(f"rollout replica '{ROLLOUT_NAME}'")
    if rollout_base._ROLLOUT_REGISTRY.get((ROLLOUT_NAME, "async")) != ROLLOUT_ADAPTER:
        missing.append(f"rollout adapter '{ROLLOUT_NAME}'")
    return missing


register()
