"""Checks over what the probe in the veRL layer answered."""

from __future__ import annotations

from cleartrace.doctor.check import Check, Status
from cleartrace.doctor.facts import VerlFacts

SETUP = "bash scripts/setup.sh"


def check_plugin(verl: VerlFacts) -> Check:
    if verl.error:
        return Check("veRL plug-in", Status.FAIL, verl.error, SETUP)
    if verl.unregistered:
        return Check("veRL plug-in", Status.FAIL, f"veRL does not know {', '.join(verl.unregistered)}", SETUP)
    if verl.device != "cpu":
        found = f"registered, but veRL chose the device {verl.device}"
        return Check("veRL plug-in", Status.WARN, found, "for the CPU recipes: export VERL_PLATFORM=cpu")
    return Check("veRL plug-in", Status.OK, f"registered, device {verl.device}")


def check_policy_runs(verl: VerlFacts) -> Check:
    name = "shipped policy loads"
    if verl.error or verl.policy is None:
        return Check(name, Status.FAIL, "not tried, see above", "mend the lines above first")
    if not verl.policy.worked:
        return Check(name, Status.FAIL, verl.policy.detail, "git checkout -- dataset/quickstart/policy")
    return Check(name, Status.OK, verl.policy.detail)


def check_accelerator(verl: VerlFacts) -> Check:
    """GPUs and rollout engines are optional: the quickstart uses neither."""
    name = "GPU and rollout engines"
    if verl.error:
        return Check(name, Status.WARN, "unknown, see veRL plug-in", SETUP)
    engines = ", ".join(verl.engines) or "no SGLang or vLLM"
    if not verl.gpus:
        return Check(name, Status.OK, f"no GPU, {engines}; the quickstart needs neither")
    found = f"{verl.gpus} GPU(s), {engines}"
    if not verl.engines:
        return Check(name, Status.WARN, found, "for GPU recipes: see docs/cluster.md")
    return Check(name, Status.OK, found)
