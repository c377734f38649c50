"""Environments by name: what is known, what is refused, and that naming one imports nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cleartrace.environments import registry
from cleartrace.environments.registry import MissingPackage, adapters, find, load

ROOT = Path(__file__).parents[2]
TROUBLESOME = f"{Path(__file__).parent / 'troublesome.py'}:Troublesome"


def test_a_checkout_knows_what_the_package_announces():
    text = (ROOT / "pyproject.toml").read_text()
    table = text.split('[project.entry-points."cleartrace.environments"]\n')[1].split("\n\n")[0]
    announced = dict(re.findall(r'^([\w-]+) = "(.+)"$', table, re.M))
    assert announced == {name: adapter.target for name, adapter in registry._OURS.items()}


def test_unknown_names_and_options_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="no environment is called 'agentdoyo'; did you mean 'agentdojo'"):
        load("agentdoyo")
    with pytest.raises(ValueError, match="no option 'sead'; did you mean 'seed'"):
        load("ruleworld", sead=1)


def test_a_class_that_nobody_announced_is_named_by_module_or_file():
    assert load("cleartrace.environments.ruleworld:RuleWorld").name == "ruleworld"
    assert [task.id for task in load(TROUBLESOME).tasks()] == ["t0", "t1", "t2"]
    with pytest.raises(ValueError, match="is no environment"):
        load("cleartrace.environments.ruleworld:Nothing")
    with pytest.raises(ValueError, match="is no environment"):
        load("no/such/file.py:Nothing")


def test_other_packages_can_announce_theirs(monkeypatch):
    point = type("Point", (), {"name": "theirs", "value": TROUBLESOME})()
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    adapters.cache_clear()
    try:
        assert load("theirs").name == "troublesome" and "agentdojo" in adapters()
    finally:
        adapters.cache_clear()


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="cleartrace environments install agentdojo"):
        load("agentdojo")


def test_naming_an_environment_imports_no_package_of_another():
    heavy = sorted({adapter.package for adapter in registry._OURS.values() if adapter.package} | {"numpy", "torch"})
    code = f"""
import sys
from cleartrace.environments import registry, host, worker, install
registry.load("ruleworld"), [registry.find(name) for name in registry.adapters()]
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_every_environment_says_where_it_is():
    assert all(":" in adapter.target and find(name) is adapter for name, adapter in adapters().items())
