"""docker/compose.yaml and its override for machines without a GPU: what they name exists, and nothing is given away."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from cleartrace_verl.compose import compose
from cleartrace_verl.main import parse
from tests.docker.dockerfile import parse as parse_dockerfile

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker"


class Loader(yaml.SafeLoader):
    """With Compose's two tags: `!reset` takes a value of the file below away, `!override` replaces it."""


class Replaced(list):
    """A value under `!override`."""


def replaced(loader: Loader, node: yaml.Node) -> Replaced:
    assert isinstance(node, yaml.SequenceNode)
    return Replaced(loader.construct_sequence(node, deep=True))


Loader.add_constructor("!reset", lambda loader, node: None)
Loader.add_constructor("!override", replaced)


def read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader)  # noqa: S506  a SafeLoader


def merged(below: Any, above: Any) -> Any:
    """Compose's rule for two files: maps by key, sequences one after the other, else the later value."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: merged(below[key], above[key]) if key in below and key in above else {**below, **above}[key]
                for key in {**below, **above}}  # fmt: skip
    if isinstance(below, list) and isinstance(above, list) and not isinstance(above, Replaced):
        return below + above
    return above


def with_included(path: Path) -> dict[str, Any]:
    config = read(path)
    for name in config.pop("include"):
        for key, value in read(path.parent / name).items():
            if key in ("services", "networks", "volumes"):
                assert not set(config.get(key, {})) & set(value), "an included resource cannot be changed"
                config[key] = {**value, **config.get(key, {})}
    return config


GPU = with_included(FOLDER / "compose.yaml")
CPU = merged(GPU, read(FOLDER / "compose.cpu.yaml"))
BOTH = pytest.mark.parametrize("config", [GPU, CPU], ids=["gpu", "cpu"])


def value_of(text: str) -> str:
    """Compose's `${NAME:-default}` with nothing set, and `$$` for a dollar."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


@BOTH
def test_the_services_are_queue_judge_and_trainer(config):
    assert set(config["services"]) == {"valkey", "api", "workers", "trainer"}


@BOTH
def test_every_dockerfile_exists_and_takes_the_arguments(config):
    for service in config["services"].values():
        if build := service.get("build"):
            file = ROOT / build["dockerfile"]
            assert file.is_file()
            assert set(build.get("args") or {}) <= set(parse_dockerfile(file.read_text()).arguments)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml", "judge/compose.yaml"])
def test_the_context_is_the_repository(name):
    path = FOLDER / name
    builds = [service["build"] for service in read(path)["services"].values() if "build" in service]
    assert builds and all((path.parent / build["context"]).resolve() == ROOT for build in builds)


@BOTH
def test_what_a_service_refers_to_is_there(config):
    for service in config["services"].values():
        assert set(service["networks"]) <= set(config["networks"])
        assert set(service.get("depends_on", {})) <= set(config["services"])
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                assert volume.partition(":")[0] in config["volumes"]


@BOTH
def test_the_trainer_runs_as_the_user_of_its_image(config):
    trainer = config["services"]["trainer"]
    file = parse_dockerfile((ROOT / trainer["build"]["dockerfile"]).read_text())
    assert [trainer["user"]] == file.all("USER", file.last_stage)
    assert (
        trainer["cap_drop"] == ["ALL"] and trainer["read_only"] and "no-new-privileges:true" in trainer["security_opt"]
    )


@BOTH
def test_what_the_trainer_writes_is_kept_and_can_be_written(config):
    trainer = config["services"]["trainer"]
    (workdir,) = parse_dockerfile((ROOT / trainer["build"]["dockerfile"]).read_text()).all("WORKDIR")[-1:]
    assert f"runs:{workdir}/runs" in trainer["volumes"]
    assert any(place.startswith("/tmp:") for place in trainer["tmpfs"])


def test_the_gpus_are_reserved_on_gpu_machines_only():
    (device,) = GPU["services"]["trainer"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert CPU["services"]["trainer"]["deploy"] is None


def test_the_data_are_on_gpu_machines_only():
    assert any(isinstance(volume, dict) for volume in GPU["services"]["trainer"]["volumes"])
    assert all(isinstance(volume, str) for volume in CPU["services"]["trainer"]["volumes"])


@BOTH
def test_nothing_is_published_beyond_loopback(config):
    ports = [port for service in config["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    assert all("network_mode" not in service for service in config["services"].values())


@BOTH
def test_secrets_come_from_outside(config):
    for service in config["services"].values():
        for name, value in (service.get("environment") or {}).items():
            if re.search("TOKEN|PASSWORD|KEY", name):
                assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


@BOTH
def test_the_command_is_a_recipe_that_composes(config):
    trainer = config["services"]["trainer"]
    shell, option, script = trainer["command"]
    assert (shell, option) == ("bash", "-c")
    for name, value in trainer["environment"].items():
        script = (
            value_of(script).replace(f'"${name}"', value_of(value or "")).replace(f"${name}", value_of(value or ""))
        )
    words = shlex.split(script)
    assert words[:2] == ["exec", "bash"] and (ROOT / words[2]).is_file()
    (experiment,) = re.findall(r"^experiment=(\w+)|experiment=(\w+) ", (ROOT / words[2]).read_text(), re.M)
    args = parse([f"experiment={''.join(experiment)}", *words[3:]])
    resolved = compose(args.overrides, [ROOT / "recipe/cleaner"])
    address, _, port = resolved.cleartrace.judge.url.removeprefix("http://").partition(":")
    assert port in config["services"][address]["command"]
    assert set(config["services"][address]["networks"]) & set(trainer["networks"])


def test_the_merge_is_that_of_compose():
    below = {"a": {"b": [1], "c": 1}, "d": [1]}
    assert merged(below, {"a": {"b": [2]}, "d": Replaced([2])}) == {"a": {"b": [1, 2], "c": 1}, "d": [2]}
